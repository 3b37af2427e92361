"""Telling verifiers what is revoked, and revoking by hand."""
