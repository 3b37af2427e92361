"""Signing keys: listed, rotated, killed."""
