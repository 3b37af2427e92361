"""Refresh-token families: the chain of refresh tokens of a session, in one row.

Table auth_families.
"""

from service.domain.families.model import (
    Family,
    Grace,
    PresentedToken,
    State,
    Status,
    Where,
    network_of,
)
from service.domain.families.rotation import Rotation, Rotations, ToRotate
from service.domain.families.store import (
    Standing,
    advance,
    end_by_session,
    find,
    find_owner,
    find_standing,
    insert,
    lock,
)
from service.domain.families.token import Minter

__all__ = [
    "Family",
    "Grace",
    "Minter",
    "PresentedToken",
    "Rotation",
    "Rotations",
    "Standing",
    "State",
    "Status",
    "ToRotate",
    "Where",
    "advance",
    "end_by_session",
    "find",
    "find_owner",
    "find_standing",
    "insert",
    "lock",
    "network_of",
]
