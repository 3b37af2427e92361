"""Sessions: one sign-in on one device.  Table auth_sessions."""

from service.domain.sessions.model import Ended, Found, LiveSession, LockedSession, Why
from service.domain.sessions.store import (
    end_all,
    end_client,
    end_one,
    end_organization,
    erase,
    export_member,
    find,
    insert,
    list_live,
    lock_live,
    prune,
)

__all__ = [
    "Ended",
    "Found",
    "LiveSession",
    "LockedSession",
    "Why",
    "end_all",
    "end_client",
    "end_one",
    "end_organization",
    "erase",
    "export_member",
    "find",
    "insert",
    "list_live",
    "lock_live",
    "prune",
]
