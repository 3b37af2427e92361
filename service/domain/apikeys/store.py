"""Statements on auth_api_keys."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from service.domain.apikeys.model import ApiKey, StoredKey
from service.domain.apikeys.text import PREFIX
from service.kernel.ids import ApiKeyId, TenantId, UserId
from service.kernel.sql import JsonLine, Queries, Tx


class _Id(Struct, frozen=True):
    key_id: ApiKeyId


class _Found(Struct, frozen=True):
    found: bool


class Ended(Struct, frozen=True):
    """A key that has just expired."""

    key_id: ApiKeyId
    tenant_id: TenantId


class Erased(Struct, frozen=True):
    """A key that was just removed or revoked together with its owner's access."""

    key_id: ApiKeyId
    tenant_id: TenantId
    public_id: str

    @property
    def prefix(self) -> str:
        """Return what may be shown of its text."""
        return PREFIX + self.public_id


class Uses(Struct, frozen=True):
    """How often a key was used since the last count, and the time of the last use."""

    key_id: ApiKeyId
    count: int
    last: datetime


queries = Queries("apikeys")
_insert = queries.rows("insert", _Id)
_list_presented = queries.rows("list_presented", StoredKey)
_find = queries.rows("find", ApiKey)
_lock = queries.rows("lock", ApiKey)
_list_page = queries.rows("list_page", ApiKey)
_list_own = queries.rows("list_own", ApiKey)
_revoke = queries.command("revoke")
_revoke_own = queries.rows("revoke_own", Erased)
_succeed = queries.command("succeed")
_delete = queries.command("delete")
_erase = queries.rows("erase", Erased)
_any_ending = queries.rows("any_ending", _Found)
_end_expired = queries.rows("end_expired", Ended)
_add_uses = queries.command("add_uses")
_export_member = queries.rows("export_member", JsonLine)


async def insert(tx: Tx, key: ApiKey, secret_mac: bytes) -> bool:
    """Add a key; False when its public id is taken."""
    found = await _insert.maybe(
        tx,
        key_id=key.key_id,
        tenant_id=key.tenant_id,
        owner_id=key.owner_id,
        public_id=key.public_id,
        secret_mac=secret_mac,
        name=key.name,
        scopes=list(key.scopes),
        networks=list(key.networks),
        created_at=key.created_at,
        expires_at=key.expires_at,
    )
    return found is not None


async def list_presented(tx: Tx, public_ids: Sequence[str]) -> list[StoredKey]:
    """Return the keys with these public ids.  Unknown ids are left out."""
    return await _list_presented.all(tx, public_ids=list(public_ids))


async def find(tx: Tx, key_id: ApiKeyId) -> ApiKey | None:
    """Return a key, ended or not."""
    return await _find.maybe(tx, key_id=key_id)


async def lock(
    tx: Tx, key_id: ApiKeyId, tenant_id: TenantId | None, owner_id: UserId | None = None
) -> ApiKey | None:
    """Lock a key and return it; None when there is none.

    `tenant_id` and `owner_id` limit the search; None: any organization, any owner.
    """
    return await _lock.maybe(tx, key_id=key_id, tenant_id=tenant_id, owner_id=owner_id)


async def list_page(
    tx: Tx, tenant_id: TenantId, owner_id: UserId | None, before: ApiKeyId | None, most: int
) -> list[ApiKey]:
    """Return a page of an organization's keys, or of one owner's keys there, the newest first."""
    if owner_id is None:
        return await _list_page.all(tx, tenant_id=tenant_id, before=before, most=most)
    return await _list_own.all(tx, tenant_id=tenant_id, owner_id=owner_id, before=before, most=most)


async def revoke(tx: Tx, key_id: ApiKeyId, at: datetime) -> None:
    """Revoke a key and keep its record; the caller revokes its `akid` in the same transaction."""
    await _revoke.run(tx, key_id=key_id, revoked_at=at)


async def revoke_own(tx: Tx, tenant_id: TenantId, owner_id: UserId, at: datetime) -> list[Erased]:
    """Revoke all of a person's keys in an organization that have not ended, and keep the records.

    The caller revokes their `akid` in the same transaction.
    """
    return await _revoke_own.all(tx, tenant_id=tenant_id, owner_id=owner_id, revoked_at=at)


async def succeed(tx: Tx, key_id: ApiKeyId, successor_id: ApiKeyId, ends_at: datetime) -> None:
    """Store the successor of a key.  The key works until `ends_at` at the latest."""
    await _succeed.run(tx, key_id=key_id, successor_id=successor_id, expires_at=ends_at)


async def delete(tx: Tx, key_id: ApiKeyId) -> None:
    """Remove the record; the caller revokes its `akid` in the same transaction."""
    await _delete.run(tx, key_id=key_id)


async def erase(tx: Tx, owner_id: UserId) -> list[Erased]:
    """Remove every key of a person; the caller revokes the person in the same transaction."""
    return await _erase.all(tx, owner_id=owner_id)


async def any_ending(tx: Tx, at: datetime) -> bool:
    """Whether a key has expired that `end_expired` has not returned yet."""
    return (await _any_ending.one(tx, at=at)).found


async def end_expired(tx: Tx, at: datetime, most: int) -> list[Ended]:
    """Return expired keys, each only once ever; the caller revokes their `akid`."""
    return await _end_expired.all(tx, at=at, most=most)


async def add_uses(tx: Tx, uses: Sequence[Uses]) -> None:
    """Add uses to the keys' counts.  Uses of removed keys are dropped."""
    await _add_uses.run(
        tx,
        key_ids=[one.key_id for one in uses],
        counts=[one.count for one in uses],
        times=[one.last for one in uses],
    )


async def export_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> list[str]:
    """Return all keys of a member, ended ones too, as lines of JSON."""
    found = await _export_member.all(tx, tenant_id=tenant_id, user_id=user_id)
    return [one.line for one in found]
