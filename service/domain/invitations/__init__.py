"""Invitations into an organization: single-use, expiring, stored as a hash.  auth_invitations."""

from service.domain.invitations.model import Invitation, digest, new_token
from service.domain.invitations.store import forget, insert, lock_open, prune, use, withdraw

__all__ = [
    "Invitation",
    "digest",
    "forget",
    "insert",
    "lock_open",
    "new_token",
    "prune",
    "use",
    "withdraw",
]
