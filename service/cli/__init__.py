"""The command line.  Like http/, it calls flows and prints their results."""

from service.cli.root import main

__all__ = ["main"]
