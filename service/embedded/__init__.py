"""PostgreSQL and Valkey for a checkout and for tests: real servers, never used in production.

Uses only the standard library, so that `./dev serve` starts fast.
"""
