"""Statements on auth_idempotency."""

import hmac
from datetime import datetime

import msgspec
from msgspec import Struct

from service.kernel.ids import TenantId
from service.kernel.mac import hmac_sha256
from service.kernel.sql import Batch, Queries, Tx


class Slot(Struct, frozen=True):
    """The name under which a request is stored, and the digest that a repetition must have."""

    name: bytes
    request_mac: bytes


class Made(Struct, frozen=True):
    """What a request created."""

    request_mac: bytes
    made: str

    def is_for(self, slot: Slot) -> bool:
        """Whether it was the same request, not another one with the same key."""
        return hmac.compare_digest(self.request_mac, slot.request_mac)


class _Held(Struct, frozen=True):
    held: bool


queries = Queries("idempotency")
_hold = queries.rows("hold", _Held)
_find = queries.rows("find", Made)
_keep = queries.command("keep")
_prune = queries.rows("prune", Batch)


def slot_of(
    key: bytes, tenant_id: TenantId | None, actor_id: str | None, name: str, request: bytes
) -> Slot:
    """Return the slot of a request.  Keys of different callers or organizations never collide."""
    slot = hmac_sha256(key, msgspec.json.encode((tenant_id, actor_id, name)))
    return Slot(slot, hmac_sha256(key, slot + request))


async def hold(tx: Tx, slot: Slot) -> bool:
    """Lock a slot until the transaction ends; False when another transaction holds it."""
    return (await _hold.one(tx, lock_id=int.from_bytes(slot.name[:8], signed=True))).held


async def find(tx: Tx, slot: Slot, at: datetime) -> Made | None:
    """Return what was created under this name; the caller holds the slot."""
    return await _find.maybe(tx, slot=slot.name, at=at)


async def keep(tx: Tx, slot: Slot, made: str, expires_at: datetime) -> None:
    """Store what was created, in the same transaction; the caller holds the slot."""
    await _keep.run(
        tx, slot=slot.name, request_mac=slot.request_mac, made=made, expires_at=expires_at
    )


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop the entries that have expired."""
    return await _prune.one(tx, after=after, before=before, most=most)
