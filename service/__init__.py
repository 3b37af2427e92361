"""Tesserra Auth: identity, sessions, keys, revocation and the audit trail of the platform."""
