"""Statements on auth_families."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from service.domain.families.model import Family, PresentedToken, Status, Where
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.sql import Queries, Tx, Writes


class Owner(Struct, frozen=True):
    """The session and the person that a family belongs to."""

    user_id: UserId
    session_id: SessionId
    tenant_id: TenantId
    client_id: str
    status: Status
    expires_at: datetime

    def alive(self, at: datetime) -> bool:
        """Whether the family still works."""
        return self.status is Status.LIVE and at < self.expires_at


class Standing(Struct, frozen=True, kw_only=True):
    """The person, organization and role of a session as they are now."""

    email: str
    name: str
    platform_admin: bool
    role: str
    slug: str
    organization: str
    policy: str | None
    cutoff: datetime | None
    """Tokens issued up to then are revoked, by a cutoff of the person or the organization."""


queries = Queries("families")
_insert = queries.command("insert")
_find = queries.rows("find", Family)
_lock = queries.rows("lock", Family)
_find_owner = queries.rows("find_owner", Owner)
_find_standing = queries.rows("find_standing", Standing)
_advance = queries.command("advance")
_end_by_session = queries.command("end_by_session")


async def insert(
    tx: Writes,
    first: PresentedToken,
    session_id: SessionId,
    *,
    at: datetime,
    idle_ttl: timedelta,
    absolute_expires_at: datetime,
    where: Where,
    recorded: bool,
) -> None:
    """Start a family with its first token."""
    await _insert.run(
        tx,
        handle_hash=first.handle_hash,
        session_id=session_id,
        token_hash=first.token_hash,
        at=at,
        idle_ttl=idle_ttl,
        idle_expires_at=min(at + idle_ttl, absolute_expires_at),
        absolute_expires_at=absolute_expires_at,
        ip=where.ip,
        network=where.network,
        agent=where.agent,
        recorded=recorded,
    )


async def find(tx: Tx, handle_hash: bytes) -> Family | None:
    """Return a family without locking it."""
    return await _find.maybe(tx, handle_hash=handle_hash)


async def lock(tx: Tx, handle_hash: bytes) -> Family | None:
    """Lock a family and its session, and return the family."""
    return await _lock.maybe(tx, handle_hash=handle_hash)


async def find_owner(tx: Tx, handle_hash: bytes) -> Owner | None:
    """Return the owner of a family without locking it."""
    return await _find_owner.maybe(tx, handle_hash=handle_hash)


async def find_standing(tx: Tx, session_id: SessionId) -> Standing | None:
    """Return the standing of a session; None when person, organization or client may not act."""
    return await _find_standing.maybe(tx, session_id=session_id)


async def advance(
    tx: Tx, family: Family, successor: PresentedToken, at: datetime, where: Where
) -> None:
    """Make `successor` the current token of a family that the caller has locked."""
    await _advance.run(
        tx,
        handle_hash=family.handle_hash,
        successor_hash=successor.token_hash,
        at=at,
        ip=where.ip,
        network=where.network,
        agent=where.agent,
    )


async def end_by_session(
    tx: Tx, session_ids: Sequence[SessionId], status: Status = Status.ENDED
) -> None:
    """End the families of sessions that the caller has ended."""
    await _end_by_session.run(tx, session_ids=list(session_ids), status=status.value)
