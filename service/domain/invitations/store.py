"""Statements on auth_invitations."""

from datetime import datetime
from uuid import UUID

from service.domain.invitations.model import Invitation, Open
from service.kernel.ids import TenantId, UserId
from service.kernel.sql import Batch, JsonLine, Queries, Tx

queries = Queries("invitations")
_insert = queries.command("insert")
_lock_open = queries.rows("lock_open", Invitation)
_lock_one = queries.rows("lock_one", Open)
_lock_sent = queries.rows("lock_sent", Open)
_list_open = queries.rows("list_open", Open)
_use = queries.command("use")
_withdraw = queries.command("withdraw")
_withdraw_to = queries.command("withdraw_to")
_forget = queries.command("forget")
_prune = queries.rows("prune", Batch)
_export_sent = queries.rows("export_sent", JsonLine)


async def insert(
    tx: Tx,
    invitation_id: UUID,
    *,
    tenant_id: TenantId,
    email: str,
    role: str,
    token_hash: bytes,
    invited_by: UserId | None,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Add an invitation."""
    await _insert.run(
        tx,
        invitation_id=invitation_id,
        tenant_id=tenant_id,
        email=email,
        role=role,
        token_hash=token_hash,
        invited_by=invited_by,
        created_at=at,
        expires_at=expires_at,
    )


async def lock_open(tx: Tx, token_hash: bytes, at: datetime) -> Invitation | None:
    """Lock an invitation that is neither used nor expired, and return it."""
    return await _lock_open.maybe(tx, token_hash=token_hash, at=at)


async def lock_one(
    tx: Tx, invitation_id: UUID, tenant_id: TenantId | None, at: datetime
) -> Open | None:
    """Lock an open invitation of an organization (None: of any) and return it."""
    return await _lock_one.maybe(tx, invitation_id=invitation_id, tenant_id=tenant_id, at=at)


async def lock_sent(
    tx: Tx, tenant_id: TenantId, emails: tuple[str, ...], at: datetime
) -> list[Open]:
    """Lock an organization's open invitations to an address, in all spellings, and return them."""
    return await _lock_sent.all(tx, tenant_id=tenant_id, emails=list(emails), at=at)


async def list_open(
    tx: Tx, tenant_id: TenantId, after: UUID | None, at: datetime, most: int
) -> list[Open]:
    """Return a page of an organization's open invitations after an id, the oldest first."""
    return await _list_open.all(tx, tenant_id=tenant_id, after=after, at=at, most=most)


async def use(tx: Tx, invitation_id: UUID, at: datetime) -> None:
    """Mark an invitation as used."""
    await _use.run(tx, invitation_id=invitation_id, used_at=at)


async def withdraw(tx: Tx, tenant_id: TenantId | None, invited_by: UserId, at: datetime) -> None:
    """Close the open invitations that a person made, in one organization or (None) in all."""
    await _withdraw.run(tx, tenant_id=tenant_id, invited_by=invited_by, at=at)


async def withdraw_to(tx: Tx, tenant_id: TenantId, emails: tuple[str, ...], at: datetime) -> None:
    """Close the open invitations of an organization to an address, in all its spellings."""
    await _withdraw_to.run(tx, tenant_id=tenant_id, emails=list(emails), at=at)


async def forget(tx: Tx, emails: tuple[str, ...]) -> None:
    """Drop every invitation to an address, in all its spellings, open or not."""
    await _forget.run(tx, emails=list(emails))


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop invitations that expired before `before`."""
    return await _prune.one(tx, after=after, before=before, most=most)


async def export_sent(tx: Tx, tenant_id: TenantId, email: str) -> list[str]:
    """Return all invitations of an organization to an address, used or not, as lines of JSON."""
    found = await _export_sent.all(tx, tenant_id=tenant_id, email=email)
    return [one.line for one in found]
