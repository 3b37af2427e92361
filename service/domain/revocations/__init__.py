"""Revocations: what is killed before it expires.

Tables auth_revocations, auth_revocation_head.  Redis stream `revocations` only hurries the news:
each worker proves its own freshness against PostgreSQL, and keeps working when Redis is gone.
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
