"""Statements on the vault's tables.  Values are sealed before they get here."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from service.domain.vault.model import Kind, Looks, Recipient, Secret, Version
from service.kernel.ids import TenantId
from service.kernel.seal import Seals
from service.kernel.sql import Queries, Tx


class LockedSecret(Struct, frozen=True):
    """A secret that this transaction has locked."""

    secret_id: UUID


class _Newest(Struct, frozen=True):
    version: int


class _RecipientId(Struct, frozen=True):
    recipient_id: UUID


class Ciphertext(Struct, frozen=True):
    """The sealed value of a version, and what the value looks like."""

    sealed: bytes
    kind: Kind


class SealedVersion(Struct, frozen=True):
    """A ciphertext, with the scope, name and version of its place."""

    secret_id: UUID
    tenant_id: TenantId | None
    name: str
    version: int
    sealed: bytes


queries = Queries("vault")
_hold = queries.rows("hold", LockedSecret)
_lock = queries.rows("lock", LockedSecret)
_delete = queries.command("delete")
_newest = queries.rows("newest", _Newest)
_insert_version = queries.command("insert_version")
_delete_version = queries.command("delete_version")
_list_versions = queries.rows("list_versions", Version)
_list_page = queries.rows("list_page", Secret)
_find = queries.rows("find", Secret)
_find_sealed = queries.rows("find_sealed", Ciphertext)
_note_opened = queries.command("note_opened")
_lock_recipients = queries.command("lock_recipients")
_insert_recipient = queries.rows("insert_recipient", _RecipientId)
_find_recipient = queries.rows("find_recipient", Recipient)
_list_recipients = queries.rows("list_recipients", Recipient)
_delete_recipient = queries.rows("delete_recipient", _RecipientId)
_assign = queries.command("assign")
_list_sealed = queries.rows("list_sealed", SealedVersion)
_reseal = queries.command("reseal")
_count_seals = queries.rows("count_seals", Seals)


async def lock(tx: Tx, tenant_id: TenantId | None, name: str) -> LockedSecret | None:
    """Lock a secret and return it; None when there is none."""
    return await _lock.maybe(tx, tenant_id=tenant_id, name=name)


async def put(
    tx: Tx,
    secret_id: UUID,
    tenant_id: TenantId | None,
    name: str,
    seal: Callable[[int], bytes],
    *,
    fingerprint: str,
    looks: Looks,
    at: datetime,
    by: str,
) -> LockedSecret:
    """Add a version to a secret, and make the secret when it is new, with the id `secret_id`.

    `seal` returns the ciphertext for a version number.
    """
    held = await _hold.one(tx, secret_id=secret_id, tenant_id=tenant_id, name=name, created_at=at)
    version = (await _newest.one(tx, secret_id=held.secret_id)).version + 1
    await _insert_version.run(
        tx,
        secret_id=held.secret_id,
        version=version,
        sealed=seal(version),
        fingerprint=fingerprint,
        kind=looks.kind,
        mode=looks.mode,
        last_four=looks.last_four,
        created_at=at,
        created_by=by,
    )
    return held


async def delete(tx: Tx, secret_id: UUID, tenant_id: TenantId | None) -> None:
    """Remove a secret with all its versions."""
    await _delete.run(tx, secret_id=secret_id, tenant_id=tenant_id)


async def delete_version(tx: Tx, secret_id: UUID, version: int) -> bool:
    """Remove one version; False when it is not there."""
    return await _delete_version.run(tx, secret_id=secret_id, version=version) == 1


async def list_versions(tx: Tx, secret_id: UUID) -> list[Version]:
    """Return the versions of a secret, the newest first."""
    return await _list_versions.all(tx, secret_id=secret_id)


async def list_page(
    tx: Tx, tenant_id: TenantId | None, after: UUID | None, most: int
) -> list[Secret]:
    """Return a page of secrets of one organization, or of the platform (None), oldest first."""
    return await _list_page.all(tx, tenant_id=tenant_id, after=after, most=most)


async def find(tx: Tx, tenant_id: TenantId | None, name: str) -> Secret | None:
    """Return a secret."""
    return await _find.maybe(tx, tenant_id=tenant_id, name=name)


async def find_sealed(tx: Tx, secret_id: UUID, version: int) -> Ciphertext | None:
    """Return the ciphertext of one version."""
    return await _find_sealed.maybe(tx, secret_id=secret_id, version=version)


async def note_opened(tx: Tx, secret_id: UUID, version: int, at: datetime, by: str) -> None:
    """Store who opened a version last, and when."""
    await _note_opened.run(tx, secret_id=secret_id, version=version, opened_at=at, opened_by=by)


async def lock_recipients(tx: Tx) -> None:
    """Lock the list of recipients, so that none is added until the transaction ends."""
    await _lock_recipients.run(tx)


async def insert_recipient(tx: Tx, recipient: Recipient) -> bool:
    """Add a recipient; False when its name is taken or its client is a recipient already."""
    found = await _insert_recipient.maybe(
        tx,
        recipient_id=recipient.recipient_id,
        name=recipient.name,
        client_id=recipient.client_id,
        created_at=recipient.created_at,
    )
    return found is not None


async def find_recipient(tx: Tx, client_id: str) -> Recipient | None:
    """Return the recipient that belongs to a client; None when there is none."""
    return await _find_recipient.maybe(tx, client_id=client_id)


async def list_recipients(tx: Tx) -> list[Recipient]:
    """Return every recipient, by name."""
    return await _list_recipients.all(tx)


async def delete_recipient(tx: Tx, name: str) -> bool:
    """Remove a recipient, also from every secret; False when there is none."""
    return await _delete_recipient.maybe(tx, name=name) is not None


async def assign(tx: Tx, secret_id: UUID, recipient_ids: Sequence[UUID]) -> None:
    """Make exactly these the recipients of a secret."""
    await _assign.run(tx, secret_id=secret_id, recipient_ids=list(recipient_ids))


async def list_sealed(tx: Tx, after: tuple[UUID, int], most: int) -> list[SealedVersion]:
    """Lock a page of ciphertexts in the order of their key, and return them."""
    return await _list_sealed.all(tx, after_secret=after[0], after_version=after[1], most=most)


async def reseal(tx: Tx, secret_id: UUID, version: int, before: bytes, sealed: bytes) -> None:
    """Replace a ciphertext by another one of the same value."""
    await _reseal.run(tx, secret_id=secret_id, version=version, before=before, sealed=sealed)


async def count_seals(tx: Tx) -> list[Seals]:
    """Return how many ciphertexts each master key has sealed here."""
    return await _count_seals.all(tx)
