"""Attempts at a password: each takes a place before hashing and is settled afterwards.

Every act that checks a password uses this module, so that all count towards one lockout.  Refusals
are answered at fixed steps (`Passwords.tell_at`), so that their time reveals nothing about the
account.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from service.domain import audit, devices, lockouts, users
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.lockouts import Admission, Outcome, Rules
from service.domain.users import Account, LoginName, Membership
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import DeviceId
from service.kernel.passwords import Verdict
from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime

T = TypeVar("T")

_LOOKS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 0.8)
"""Seconds between checks for a free place: together, as long as the queue for hashing."""
_GIVE_BACK_SECONDS = 1.0


class Attempt(Struct, frozen=True):
    """An attempt before its password is checked.  If admitted, it has a place."""

    attempt_id: UUID
    subject: UUID
    account: Account | None
    device: DeviceId | None
    admission: Admission
    began: float
    """When the attempt began (`Clock.monotonic`).  The time of a refusal counts from here."""


async def reserve_by_email(rt: Runtime, name: LoginName, device: str | None) -> Attempt:
    """Reserve an attempt at the account of an e-mail, which may not exist."""
    began = rt.clock.monotonic()
    async with rt.pg.autocommit() as tx:
        account = await users.find_by_email(tx, name.spellings, name.folded_before)
        attempt, reserved = await _recognise(rt, tx, account, name.subject, device, began)
    return attempt if reserved else await _reserve(rt, attempt)


async def reserve(rt: Runtime, account: Account, device: str | None) -> Attempt:
    """Reserve an attempt at an account."""
    began = rt.clock.monotonic()
    async with rt.pg.autocommit() as tx:
        attempt, reserved = await _recognise(rt, tx, account, account.email, device, began)
    return attempt if reserved else await _reserve(rt, attempt)


async def _recognise(
    rt: Runtime,
    tx: Tx,
    account: Account | None,
    email: str,
    device: str | None,
    began: float,
) -> tuple[Attempt, bool]:
    """Find the counter of an attempt, and reserve it if that counter is empty."""
    now = rt.clock.now()
    subject, known = lockouts.phantom(rt.keyring.derived(Usage.PHANTOM), email), None
    if account is not None:
        subject = account.user_id
        presented = devices.read(rt.keyring.derived(Usage.DEVICE), device)
        if presented is not None:
            known = await devices.find(tx, presented, account.user_id, now)
    attempt = Attempt(ids.new(now), subject, account, known, Admission.ADMITTED, began)
    return attempt, await lockouts.reserve_first(tx, subject, known, attempt.attempt_id, now)


async def _reserve(rt: Runtime, attempt: Attempt) -> Attempt:
    """Ask for a place for this attempt, from now on."""
    now = rt.clock.now()
    attempt_id = ids.new(now)
    async with rt.pg.decision() as tx:
        admission = await lockouts.reserve(
            tx, attempt.subject, attempt.device, attempt_id, now, rules(rt)
        )
    return replace(attempt, attempt_id=attempt_id, admission=admission)


async def _await_room(rt: Runtime, attempt: Attempt) -> Attempt:
    """Wait for a free place; return CROWDED when that takes too long."""
    for pause in _LOOKS:
        if attempt.admission is not Admission.CROWDED:
            break
        await rt.clock.sleep_until(rt.clock.monotonic() + pause)
        async with rt.pg.reading() as tx:
            room = await lockouts.has_room(
                tx, attempt.subject, attempt.device, rt.clock.now(), rules(rt)
            )
        if room:
            attempt = await _reserve(rt, attempt)
    return attempt


async def decide(
    rt: Runtime,
    attempt: Attempt,
    password: str,
    settle: Callable[[Attempt, Verdict], Awaitable[T]],
) -> T:
    """Check the password, and return the result of `settle`, which opens its own decision.

    It is slow: never call it inside a decision.  An attempt without a verdict gives its place back,
    so that neither a flood of the hashing queue nor an outage locks the owner out.
    """
    hashed_from = attempt.began
    try:
        attempt = await _await_room(rt, attempt)
        verdict = await _verify(rt, attempt, password)
        hashed_from = verdict.began
        return await settle(attempt, verdict)
    except Exception as exc:
        if not isinstance(exc, Refused) or exc.reason is Reason.UNAVAILABLE:
            await _give_back(rt, attempt)
        await rt.clock.sleep_until(rt.passwords.tell_at(attempt.began, hashed_from))
        raise


async def _verify(rt: Runtime, attempt: Attempt, password: str) -> Verdict:
    match attempt.admission:
        case Admission.CROWDED:
            return Verdict(ok=False, began=rt.clock.monotonic())
        case Admission.LOCKED:
            on_file = None
        case Admission.ADMITTED:
            on_file = attempt.account.password_hash if attempt.account else None
    return await rt.passwords.verify(on_file, password)


async def _give_back(rt: Runtime, attempt: Attempt) -> None:
    """Give back the place of an attempt without a verdict.  If that fails, the place expires."""
    if attempt.admission is Admission.ADMITTED:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_GIVE_BACK_SECONDS), rt.pg.autocommit() as tx:
                await lockouts.release(tx, attempt.subject, attempt.device, attempt.attempt_id)


async def hold(tx: Tx, attempt: Attempt) -> Account | None:
    """Lock the account and return it as it is now; None when there is none.

    Refused(UNAVAILABLE) when it was erased meanwhile: nothing more is recorded about the person.
    """
    if attempt.account is None:
        return None
    account = await users.lock(tx, attempt.account.user_id)
    if account is None or account.erased_at is not None:
        await lockouts.unlock(tx, attempt.subject)
        raise unavailable("attempt: the account was erased meanwhile")
    return account


async def prove(rt: Runtime, call: Call, account: Account, password: str) -> None:
    """Refuse the act unless this is the account's password: BAD_CREDENTIALS, UNAVAILABLE.

    It counts towards the same lockout as a sign-in, and opens no session.
    """

    async def settle(attempt: Attempt, verdict: Verdict) -> None:
        async with rt.pg.decision() as tx:
            now = await hold(tx, attempt)
            why = await judge(rt, call, tx, attempt, now, verdict, None)
            if why is not None:
                failed = events.SignInFailed(tenant_id=None, user_id=account.user_id, why=why)
                await audit.record(tx, call, failed)
                raise refusal(why, "prove")

    attempt = await reserve(rt, account, None)
    await decide(rt, attempt, password, settle)


async def judge(
    rt: Runtime,
    call: Call,
    tx: Tx,
    attempt: Attempt,
    account: Account | None,
    verdict: Verdict,
    membership: Membership | None,
) -> events.Failure | None:
    """Settle a reserved attempt: clear the failures, or count this one and return why it failed.

    Refused(UNAVAILABLE) when it has lost its place: then its verdict is not used.
    """
    match attempt.admission:
        case Admission.CROWDED:
            return "crowded"
        case Admission.LOCKED:
            return "locked"
    place = (attempt.subject, attempt.device, attempt.attempt_id)
    failure: events.Failure | None = None
    if account is None or not verdict.ok or _changed(attempt.account, account):
        outcome = await lockouts.fail(tx, *place, call.at, rules(rt))
        held = outcome is not Outcome.LAPSED
        failure = "unknown" if account is None else "wrong_password"
        if outcome is Outcome.LOCKED and account is not None:
            await audit.record(
                tx,
                call,
                events.LockedOut(
                    tenant_id=membership.tenant_id if membership else None,
                    user_id=account.user_id,
                    known_device=attempt.device is not None,
                ),
            )
    elif account.disabled_at is not None:
        held = await lockouts.release(tx, *place)
        failure = "disabled"
    else:
        held = await lockouts.clear(tx, *place, call.at)
    if not held:
        raise unavailable("attempt: lost its place before it was judged")
    return failure


def refusal(why: events.Failure, door: str, public: str = "") -> Refused:
    """Return the refusal for a failure.  All are alike, except `crowded`, which has no verdict."""
    if why == "crowded":
        return unavailable(f"{door}: {why}", retry_after=2)
    return Refused(Reason.BAD_CREDENTIALS, public, private=f"{door}: {why}")


def _changed(before: Account | None, now: Account) -> bool:
    """Whether the password was changed meanwhile.  A new hash of the same password is no change."""
    return before is None or before.password_changed_at != now.password_changed_at


def rules(rt: Runtime) -> Rules:
    """Return the deployment's lockout rules."""
    policy = rt.policy.lockout
    return Rules(policy.failures, seconds(policy.window), seconds(policy.duration))
