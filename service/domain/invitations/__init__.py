"""Invitations to an organization: single-use, expiring, stored as a hash.

Table auth_invitations.
"""

from service.domain.invitations.model import Invitation, Open, digest, new_token
from service.domain.invitations.store import (
    export_sent,
    forget,
    insert,
    list_open,
    lock_one,
    lock_open,
    lock_sent,
    prune,
    use,
    withdraw,
    withdraw_to,
)

__all__ = [
    "Invitation",
    "Open",
    "digest",
    "export_sent",
    "forget",
    "insert",
    "list_open",
    "lock_one",
    "lock_open",
    "lock_sent",
    "new_token",
    "prune",
    "use",
    "withdraw",
    "withdraw_to",
]
