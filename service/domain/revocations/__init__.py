"""Revocations: tokens that are refused before they expire.

Tables auth_revocations, auth_revocation_head.  The Redis stream `revocations` only makes news
faster: each worker checks in PostgreSQL that it is up to date, and works on when Redis is lost.
"""

from service.domain.revocations.follower import Follower
from service.domain.revocations.memory import Memory
from service.domain.revocations.model import Kind, Marks, Revocation
from service.domain.revocations.store import (
    UNTIL_COMMITTED,
    cut_off,
    find,
    find_any,
    list_after,
    prune,
    read_head,
    revoke,
)

__all__ = [
    "UNTIL_COMMITTED",
    "Follower",
    "Kind",
    "Marks",
    "Memory",
    "Revocation",
    "cut_off",
    "find",
    "find_any",
    "list_after",
    "prune",
    "read_head",
    "revoke",
]
