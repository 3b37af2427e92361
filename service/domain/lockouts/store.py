"""Statements on auth_lockouts.  Each takes the row's lock: attempts queue, and see one another."""

from datetime import datetime
from uuid import UUID

from service.domain.lockouts.model import ANY_DEVICE, Rules, Strikes
from service.kernel.ids import DeviceId
from service.kernel.sql import Queries, Tx

queries = Queries("lockouts")
_reserve_first = queries.command("reserve_first")
_clear = queries.command("clear")
_hold = queries.rows("hold", Strikes)
_lock = queries.rows("lock", Strikes)
_put = queries.command("put")
_unlock = queries.command("unlock")
_prune = queries.command("prune")


async def reserve_first(tx: Tx, subject: UUID, device: DeviceId | None, at: datetime) -> bool:
    """Reserve an attempt when no other is held; False decides nothing: ask `reserve`.

    What `reserve` would say, in one statement that needs no transaction around it.
    """
    device_id = device or ANY_DEVICE
    return await _reserve_first.run(tx, subject_id=subject, device_id=device_id, at=at) > 0


async def reserve(
    tx: Tx, subject: UUID, device: DeviceId | None, at: datetime, rules: Rules
) -> bool:
    """Reserve an attempt; False when the account is locked for this device."""
    device_id = device or ANY_DEVICE
    strikes = await _hold.one(tx, subject_id=subject, device_id=device_id, touched_at=at)
    admitted = strikes.reserve(at, rules)
    await _write(tx, subject, device_id, admitted or strikes, at)
    return admitted is not None


async def fail(
    tx: Tx,
    subject: UUID,
    device: DeviceId | None,
    reserved_at: datetime,
    at: datetime,
    rules: Rules,
) -> bool:
    """Count a reserved attempt as failed; True when this very failure locked the account."""
    device_id = device or ANY_DEVICE
    strikes = await _lock.maybe(tx, subject_id=subject, device_id=device_id) or Strikes((), None)
    after = strikes.fail(at, reserved_at, rules)
    await _write(tx, subject, device_id, after, at)
    return after.locked(at) and not strikes.locked(at)


async def release(tx: Tx, subject: UUID, device: DeviceId | None, reserved_at: datetime) -> None:
    """Give back a reserved attempt that was never looked at."""
    device_id = device or ANY_DEVICE
    strikes = await _lock.maybe(tx, subject_id=subject, device_id=device_id)
    if strikes is not None:
        await _write(tx, subject, device_id, strikes.release(reserved_at), reserved_at)


async def clear(tx: Tx, subject: UUID, device: DeviceId | None, at: datetime) -> bool:
    """Forget the strikes after a right password; False, and nothing is forgotten, while locked."""
    device_id = device or ANY_DEVICE
    if await _clear.run(tx, subject_id=subject, device_id=device_id, at=at):
        return True
    return await _lock.maybe(tx, subject_id=subject, device_id=device_id) is None


async def prune(tx: Tx, before: datetime) -> int:
    """Drop counters nobody touched since `before`."""
    return await _prune.run(tx, before=before)


async def _write(tx: Tx, subject: UUID, device_id: UUID, strikes: Strikes, at: datetime) -> None:
    await _put.run(
        tx,
        subject_id=subject,
        device_id=device_id,
        attempts=list(strikes.attempts),
        locked_until=strikes.locked_until,
        touched_at=at,
    )


async def unlock(tx: Tx, subject: UUID) -> int:
    """Lift every lock of an account; return how many counters were dropped."""
    return await _unlock.run(tx, subject_id=subject)
