"""Secrets: put, described, handed over, dropped; master keys rotated."""
