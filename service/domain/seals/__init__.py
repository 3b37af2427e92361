"""Seals: each event chained to the one before, and the ends of chains signed.

Tables auth_event_seals (by month of sealing), auth_event_chains, auth_event_checkpoints,
auth_sealing.  Reads auth_eventos and changes nothing in it.
"""

from service.domain.seals.chaining import chain_up, sign
from service.domain.seals.checking import ERASURE, Checked, Checker, Finding
from service.domain.seals.model import (
    PERSONAL_KEYS,
    PLATFORM,
    Chain,
    Checkpoint,
    Claims,
    Progress,
    Stray,
    read_claims,
)
from service.domain.seals.store import (
    find_before_first,
    find_last_before,
    find_progress,
    find_public_jwk,
    insert_checkpoint,
    insert_seals,
    list_chains,
    list_checkpoints,
    list_due,
    list_links,
    list_recorded,
    list_signed,
    list_strays,
    list_unsealed,
    lock_progress,
    move_progress,
    put_chains,
    try_lock_progress,
)

__all__ = [
    "ERASURE",
    "PERSONAL_KEYS",
    "PLATFORM",
    "Chain",
    "Checked",
    "Checker",
    "Checkpoint",
    "Claims",
    "Finding",
    "Progress",
    "Stray",
    "chain_up",
    "find_before_first",
    "find_last_before",
    "find_progress",
    "find_public_jwk",
    "insert_checkpoint",
    "insert_seals",
    "list_chains",
    "list_checkpoints",
    "list_due",
    "list_links",
    "list_recorded",
    "list_signed",
    "list_strays",
    "list_unsealed",
    "lock_progress",
    "move_progress",
    "put_chains",
    "read_claims",
    "sign",
    "try_lock_progress",
]
