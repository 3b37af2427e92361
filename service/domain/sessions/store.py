"""Statements on auth_sessions."""

from datetime import datetime

from service.domain.sessions.model import Ended, Found, LiveSession, LockedSession, Why
from service.kernel.ids import DeviceId, SessionId, TenantId, UserId
from service.kernel.sql import Batch, JsonLine, Queries, Tx, Writes

queries = Queries("sessions")
_insert = queries.command("insert")
_lock_live = queries.rows("lock_live", LockedSession)
_list_live = queries.rows("list_live", LiveSession)
_end_one = queries.rows("end_one", Ended)
_end_all = queries.rows("end_all", Ended)
_find = queries.rows("find", Found)
_end_organization = queries.rows("end_organization", Ended)
_end_client = queries.rows("end_client", Ended)
_erase = queries.command("erase")
_prune = queries.rows("prune", Batch)
_export_member = queries.rows("export_member", JsonLine)


async def insert(  # noqa: PLR0913 - a session is this much
    tx: Writes,
    session_id: SessionId,
    *,
    tenant_id: TenantId,
    user_id: UserId,
    device_id: DeviceId | None,
    client_id: str,
    amr: tuple[str, ...],
    auth_time: datetime,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Open a session; the caller holds the person's lock."""
    await _insert.run(
        tx,
        session_id=session_id,
        tenant_id=tenant_id,
        user_id=user_id,
        device_id=device_id,
        client_id=client_id,
        amr=list(amr),
        auth_time=auth_time,
        created_at=at,
        expires_at=expires_at,
    )


async def lock_live(
    tx: Tx, session_id: SessionId, user_id: UserId, at: datetime
) -> LockedSession | None:
    """Lock a person's session and return it; None when it has ended."""
    return await _lock_live.maybe(tx, session_id=session_id, user_id=user_id, at=at)


async def list_live(tx: Tx, user_id: UserId, at: datetime) -> list[LiveSession]:
    """Return a person's sessions that still work."""
    return await _list_live.all(tx, user_id=user_id, at=at)


async def end_one(
    tx: Tx, session_id: SessionId, user_id: UserId, at: datetime, why: Why
) -> Ended | None:
    """End one session of a person; None when there is none to end."""
    return await _end_one.maybe(
        tx, session_id=session_id, user_id=user_id, ended_at=at, why=why.value
    )


async def end_all(
    tx: Tx,
    user_id: UserId,
    at: datetime,
    why: Why,
    *,
    kept: SessionId | None = None,
    tenant_id: TenantId | None = None,
) -> list[Ended]:
    """End all sessions of a person except `kept`, in one organization or in all (None).

    The caller holds the person's lock.
    """
    return await _end_all.all(
        tx, user_id=user_id, kept=kept, tenant_id=tenant_id, ended_at=at, why=why.value
    )


async def end_organization(tx: Tx, tenant_id: TenantId, at: datetime, why: Why) -> list[Ended]:
    """End every session of an organization."""
    return await _end_organization.all(tx, tenant_id=tenant_id, ended_at=at, why=why.value)


async def end_client(tx: Tx, client_id: str, at: datetime, why: Why) -> list[Ended]:
    """End every session of a client that is not the console."""
    return await _end_client.all(tx, client_id=client_id, ended_at=at, why=why.value)


async def find(tx: Tx, session_id: SessionId) -> Found | None:
    """Return the owner of a session, ended or not."""
    return await _find.maybe(tx, session_id=session_id)


async def erase(tx: Tx, user_id: UserId) -> None:
    """Drop every session of a person, ended or not, with its families."""
    await _erase.run(tx, user_id=user_id)


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop sessions that expired before `before`, with their families."""
    return await _prune.one(tx, after=after, before=before, most=most)


async def export_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> list[str]:
    """Return all sessions of a member, ended ones too, as lines of JSON."""
    found = await _export_member.all(tx, tenant_id=tenant_id, user_id=user_id)
    return [one.line for one in found]
