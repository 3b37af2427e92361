"""Statements on auth_devices."""

from datetime import datetime

from msgspec import Struct

from service.kernel.ids import DeviceId, UserId
from service.kernel.sql import Batch, Queries, Tx, Writes


class _Device(Struct, frozen=True):
    device_id: DeviceId


queries = Queries("devices")
_find = queries.rows("find", _Device)
_insert = queries.command("insert")
_touch = queries.command("touch")
_forget_oldest = queries.command("forget_oldest")
_forget_others = queries.command("forget_others")
_prune = queries.rows("prune", Batch)


async def find(tx: Tx, device_id: DeviceId, user_id: UserId, at: datetime) -> DeviceId | None:
    """Return the device if it is known to this account and has not expired."""
    found = await _find.maybe(tx, device_id=device_id, user_id=user_id, at=at)
    return found.device_id if found else None


async def insert(
    tx: Writes, device_id: DeviceId, user_id: UserId, at: datetime, expires_at: datetime, most: int
) -> None:
    """Add a device.  When the account has more than `most`, the longest unused is dropped."""
    await _forget_oldest.run(tx, user_id=user_id, most=most - 1)
    await _insert.run(tx, device_id=device_id, user_id=user_id, at=at, expires_at=expires_at)


async def touch(tx: Writes, device_id: DeviceId, at: datetime, expires_at: datetime) -> None:
    """Store that a device was used now, and until when it stays known."""
    await _touch.run(tx, device_id=device_id, at=at, expires_at=expires_at)


async def forget_others(tx: Tx, user_id: UserId, kept: DeviceId | None) -> None:
    """Drop every device of a person except `kept`."""
    await _forget_others.run(tx, user_id=user_id, kept=kept)


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop devices that expired before `before`."""
    return await _prune.one(tx, after=after, before=before, most=most)
