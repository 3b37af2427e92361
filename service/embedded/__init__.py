"""PostgreSQL and Valkey for a checkout and for tests: real servers, started by us, never deployed.

Standard library only, so that `./dev serve` imports nothing it does not need before the servers run.
"""
