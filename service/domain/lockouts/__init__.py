"""Lockouts: strikes against an account, durable, in PostgreSQL.  Table auth_lockouts."""

from service.domain.lockouts.model import Rules, Strikes, phantom
from service.domain.lockouts.store import (
    clear,
    fail,
    prune,
    release,
    reserve,
    reserve_first,
    unlock,
)

__all__ = [
    "Rules",
    "Strikes",
    "clear",
    "fail",
    "phantom",
    "prune",
    "release",
    "reserve",
    "reserve_first",
    "unlock",
]
