"""An attempt at a password: reserved before it is hashed, settled after.

Every door that looks at a password leads through here, to the same lock.
"""

from uuid import UUID

from msgspec import Struct

from service.domain import audit, devices, lockouts, users
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.lockouts import Rules
from service.domain.users import Account, Membership
from service.kernel.call import Call
from service.kernel.ids import DeviceId
from service.kernel.passwords import Verdict
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime


class Attempt(Struct, frozen=True):
    """A reserved attempt: what is known before the password is looked at."""

    subject: UUID
    account: Account | None
    device: DeviceId | None
    admitted: bool


async def reserve_by_email(rt: Runtime, call: Call, email: str, device: str | None) -> Attempt:
    """Reserve an attempt, without a transaction where the account has no other one held."""
    async with rt.pg.autocommit() as tx:
        account = await users.find_by_email(tx, email)
        subject, known = await _recognise(rt, call, tx, account, email, device)
        if await lockouts.reserve_first(tx, subject, known, call.at):
            return Attempt(subject, account, known, admitted=True)
    async with rt.pg.decision() as tx:
        admitted = await lockouts.reserve(tx, subject, known, call.at, rules(rt))
    return Attempt(subject, account, known, admitted)


async def reserve(rt: Runtime, call: Call, tx: Tx, account: Account, device: str | None) -> Attempt:
    """Reserve an attempt before hashing, so that parallel guesses buy nothing."""
    subject, known = await _recognise(rt, call, tx, account, account.email, device)
    admitted = await lockouts.reserve(tx, subject, known, call.at, rules(rt))
    return Attempt(subject, account, known, admitted)


async def _recognise(
    rt: Runtime, call: Call, tx: Tx, account: Account | None, email: str, device: str | None
) -> tuple[UUID, DeviceId | None]:
    """Return whose counter an attempt is held against, and the device if that is known."""
    if account is None:
        return lockouts.phantom(rt.keyring.derived(Usage.PHANTOM), email), None
    presented = devices.read(rt.keyring.derived(Usage.DEVICE), device)
    if presented is None:
        return account.user_id, None
    return account.user_id, await devices.find(tx, presented, account.user_id, call.at)


async def verify(rt: Runtime, call: Call, attempt: Attempt, password: str) -> Verdict:
    """Look at the password; slow, so never inside a decision.

    An attempt that is shed unseen is given back: no flood of the hashing queue locks an owner out.
    """
    on_file = attempt.account.password_hash if attempt.account and attempt.admitted else None
    try:
        return await rt.passwords.verify(on_file, password)
    except Refused:
        await give_back(rt, call, attempt)
        raise


async def give_back(rt: Runtime, call: Call, attempt: Attempt) -> None:
    """Take a reserved attempt back: it was no guess, or a right one."""
    if attempt.admitted:
        async with rt.pg.decision() as tx:
            await lockouts.release(tx, attempt.subject, attempt.device, call.at)


async def prove(rt: Runtime, call: Call, account: Account, password: str) -> None:
    """Refuse an act by whoever cannot sign in to this account: BAD_CREDENTIALS, UNAVAILABLE.

    A door to the same lock as a sign-in, that opens no session.
    """
    async with rt.pg.decision() as tx:
        attempt = await reserve(rt, call, tx, account, None)
    verdict = await verify(rt, call, attempt, password)
    async with rt.pg.decision() as tx:
        now = await users.lock(tx, account.user_id)
        why = await judge(rt, call, tx, attempt, now, verdict, None)
        if why is not None:
            failed = events.SignInFailed(tenant_id=None, user_id=account.user_id, why=why)
            await audit.record(tx, call, failed)
            raise Refused(Reason.BAD_CREDENTIALS, private=f"prove: {why}")


async def judge(
    rt: Runtime,
    call: Call,
    tx: Tx,
    attempt: Attempt,
    account: Account | None,
    verdict: Verdict,
    membership: Membership | None,
) -> events.Failure | None:
    """Settle a reserved attempt: clear the strikes, or say why not and count it."""
    if not attempt.admitted:
        return "locked"
    if account is None or not verdict.ok or _changed(attempt.account, account):
        locked_now = await lockouts.fail(
            tx, attempt.subject, attempt.device, call.at, call.at, rules(rt)
        )
        if locked_now and account is not None:
            await audit.record(
                tx,
                call,
                events.LockedOut(
                    tenant_id=membership.tenant_id if membership else None,
                    user_id=account.user_id,
                    known_device=attempt.device is not None,
                ),
            )
        return "unknown" if account is None else "wrong_password"
    if account.disabled_at is not None:
        return "disabled"
    if not await lockouts.clear(tx, attempt.subject, attempt.device, call.at):
        return "locked"
    return None


def _changed(before: Account | None, now: Account) -> bool:
    """Tell whether another password was chosen meanwhile; the same one hashed anew is no other."""
    return before is None or before.password_changed_at != now.password_changed_at


def rules(rt: Runtime) -> Rules:
    """Return the deployment's lockout rules."""
    policy = rt.policy.lockout
    return Rules(policy.failures, seconds(policy.window), seconds(policy.duration))
