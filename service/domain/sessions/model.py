"""Sessions: their kinds of rows, and why one ended."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from service.kernel.ids import DeviceId, SessionId, TenantId, UserId


class Why(StrEnum):
    """Why a session ended."""

    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    ENDED_BY_OWNER = "ended_by_owner"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a word, not a password
    ENDED_BY_ADMIN = "ended_by_admin"
    DISABLED = "disabled"
    REPLAYED = "replayed"
    ORGANIZATION_SWITCHED = "organization_switched"
    CLIENT_CLOSED = "client_closed"
    """The client was deleted, or may renew sessions no more."""


class LiveSession(Struct, frozen=True, kw_only=True):
    """A session as its owner sees it."""

    session_id: SessionId
    tenant_id: TenantId
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime
    last_ip: str | None
    last_agent: str


class LockedSession(Struct, frozen=True, kw_only=True):
    """A live session, locked."""

    session_id: SessionId
    tenant_id: TenantId
    device_id: DeviceId | None
    amr: tuple[str, ...]
    auth_time: datetime
    expires_at: datetime


class Found(Struct, frozen=True):
    """The owner of a session."""

    session_id: SessionId
    tenant_id: TenantId
    user_id: UserId


class Ended(Struct, frozen=True):
    """A session that has just been ended."""

    session_id: SessionId
    tenant_id: TenantId
