"""The other edge: what is done from a shell."""

from service.cli.root import main

__all__ = ["main"]
