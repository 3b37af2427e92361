"""Lockouts: failed attempts against an account, kept in PostgreSQL.  Table auth_lockouts."""

from service.domain.lockouts.model import Admission, Outcome, Rules, Strikes, phantom
from service.domain.lockouts.store import (
    clear,
    fail,
    has_room,
    prune,
    release,
    reserve,
    reserve_first,
    unlock,
)

__all__ = [
    "Admission",
    "Outcome",
    "Rules",
    "Strikes",
    "clear",
    "fail",
    "has_room",
    "phantom",
    "prune",
    "release",
    "reserve",
    "reserve_first",
    "unlock",
]
