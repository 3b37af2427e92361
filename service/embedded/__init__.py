"""PostgreSQL and Valkey for a checkout and for tests: real servers, started by us, never deployed.

Standard library only: `./dev serve` loads nothing it does not need before the servers run.
"""
