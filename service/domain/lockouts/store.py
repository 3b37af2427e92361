"""Statements on auth_lockouts.  Each locks its row, so attempts on one counter wait in line."""

from datetime import datetime
from uuid import UUID

from service.domain.lockouts.model import ANY_DEVICE, Admission, Outcome, Rules, Strikes
from service.kernel.ids import DeviceId
from service.kernel.sql import Batch, Queries, Tx

queries = Queries("lockouts")
_reserve_first = queries.command("reserve_first")
_clear = queries.command("clear")
_release = queries.command("release")
_hold = queries.rows("hold", Strikes)
_find = queries.rows("find", Strikes)
_lock = queries.rows("lock", Strikes)
_put = queries.command("put")
_unlock = queries.command("unlock")
_prune = queries.rows("prune", Batch)


async def reserve_first(
    tx: Tx, subject: UUID, device: DeviceId | None, attempt_id: UUID, at: datetime
) -> bool:
    """Reserve an attempt when the counter is empty.  False decides nothing: call `reserve` then.

    The result is that of `reserve`, in one statement that needs no transaction around it.
    """
    device_id = device or ANY_DEVICE
    reserved = await _reserve_first.run(
        tx, subject_id=subject, device_id=device_id, attempt_id=attempt_id, at=at
    )
    return reserved > 0


async def reserve(
    tx: Tx, subject: UUID, device: DeviceId | None, attempt_id: UUID, at: datetime, rules: Rules
) -> Admission:
    """Reserve an attempt when there is a place for it."""
    device_id = device or ANY_DEVICE
    strikes = await _hold.one(tx, subject_id=subject, device_id=device_id, touched_at=at)
    after = strikes.reserve(attempt_id, at, rules)
    if after is None:
        return strikes.admission(at, rules)
    await _write(tx, subject, device_id, after, at)
    return Admission.ADMITTED


async def has_room(
    tx: Tx, subject: UUID, device: DeviceId | None, at: datetime, rules: Rules
) -> bool:
    """Whether `reserve` would not answer CROWDED.  Locks nothing."""
    strikes = await _find.maybe(tx, subject_id=subject, device_id=device or ANY_DEVICE)
    return strikes is None or strikes.admission(at, rules) is not Admission.CROWDED


async def fail(
    tx: Tx, subject: UUID, device: DeviceId | None, attempt_id: UUID, at: datetime, rules: Rules
) -> Outcome:
    """Count a reserved attempt as failed."""
    device_id = device or ANY_DEVICE
    strikes = await _lock.maybe(tx, subject_id=subject, device_id=device_id) or Strikes()
    after = strikes.fail(attempt_id, at, rules)
    if after is None:
        return Outcome.LAPSED
    await _write(tx, subject, device_id, after, at)
    return Outcome.LOCKED if after.locked(at) else Outcome.COUNTED


async def release(tx: Tx, subject: UUID, device: DeviceId | None, attempt_id: UUID) -> bool:
    """Give back the place of an attempt that is no failure; False when it had lost its place."""
    device_id = device or ANY_DEVICE
    left = await _release.run(tx, subject_id=subject, device_id=device_id, attempt_id=attempt_id)
    return left > 0


async def clear(
    tx: Tx, subject: UUID, device: DeviceId | None, attempt_id: UUID, at: datetime
) -> bool:
    """Forget the failures after a right password.

    False when the attempt had lost its place: then nothing is forgotten.
    """
    device_id = device or ANY_DEVICE
    cleared = await _clear.run(
        tx, subject_id=subject, device_id=device_id, attempt_id=attempt_id, at=at
    )
    return cleared > 0


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop counters that have not changed since `before`."""
    return await _prune.one(tx, after=after, before=before, most=most)


async def _write(tx: Tx, subject: UUID, device_id: UUID, strikes: Strikes, at: datetime) -> None:
    await _put.run(
        tx,
        subject_id=subject,
        device_id=device_id,
        attempts=list(strikes.attempts),
        under_way=list(strikes.under_way),
        locked_until=strikes.locked_until,
        touched_at=at,
    )


async def unlock(tx: Tx, subject: UUID) -> int:
    """Lift all locks of an account; return how many counters were dropped.

    Open attempts lose their places: they count for nothing, and their clients must try again.
    """
    return await _unlock.run(tx, subject_id=subject)
