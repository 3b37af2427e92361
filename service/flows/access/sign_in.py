"""Sign in with e-mail and password."""

from uuid import UUID

from msgspec import Struct

from service.domain import audit, devices, lockouts, users
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.lockouts import Rules
from service.domain.users import Account, Membership
from service.flows.access import limiting
from service.flows.access.granting import Granted, Grantee, grant, open_session
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.ids import DeviceId
from service.kernel.passwords import Verdict
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Together, Tx, Writes
from service.policy import seconds
from service.runtime import Runtime

AMR = ("pwd",)
"""RFC 8176."""


class Credentials(Struct, frozen=True):
    """What a person types; `device` is what their browser remembers of an earlier sign-in."""

    email: str
    password: str
    organization: str | None = None
    device: str | None = None


class Attempt(Struct, frozen=True):
    """A reserved attempt: what is known before the password is looked at."""

    subject: UUID
    account: Account | None
    device: DeviceId | None
    admitted: bool


async def sign_in(rt: Runtime, call: Call, given: Credentials) -> Granted:
    """Open a session.  Every way of failing costs the same, reads the same and leaves its mark.

    Refused: TOO_MANY by address; BAD_CREDENTIALS for an unknown, wrong, locked or disabled account
    alike; UNAVAILABLE when hashing or PostgreSQL cannot keep up.
    """
    began = rt.clock.monotonic()
    # Before it is counted: who is refused anyway must not crowd out those who are not.
    limiting.refuse_barred(rt, call, "login", rt.policy.limits.login)
    with rt.passwords.coming():
        await limiting.spend_address(rt, call, "login", rt.policy.limits.login)
        email = users.canonical_email(given.email) or given.email.casefold()
        attempt = await _reserve(rt, call, email, given.device)
        verdict = await verify(rt, call, attempt, given.password)
    try:
        return await _settle(rt, call, given, attempt, verdict)
    except Refused as refused:
        if refused.reason is Reason.BAD_CREDENTIALS:
            floor = verdict.waited + rt.passwords.failure_floor()
            await rt.clock.sleep_until(began + floor)
        raise


async def _settle(
    rt: Runtime, call: Call, given: Credentials, attempt: Attempt, verdict: Verdict
) -> Granted:
    async with rt.pg.decision() as tx:
        # The account as it is now: it may have changed while the password was hashed.
        account = await users.lock(tx, attempt.account.user_id) if attempt.account else None
        membership = await _hold_membership(tx, account, given.organization)
        why = await judge(rt, call, tx, attempt, account, verdict, membership)
        if why is None and membership is None:
            why = "no_membership"
        if why is not None or account is None or membership is None:
            await audit.record(
                tx,
                call,
                events.SignInFailed(
                    tenant_id=membership.tenant_id if membership else None,
                    user_id=account.user_id if account else None,
                    why=why or "unknown",
                ),
            )
            metrics.logins.labels("failed", why or "unknown").inc()
            raise Refused(Reason.BAD_CREDENTIALS, private=f"sign-in: {why}")

        if verdict.rehash:
            await users.replace_password_hash(tx, account.user_id, verdict.rehash)
        writes = Together()
        device = await _remember_device(rt, call, writes, account, attempt.device)
        opened = await open_session(rt, call, writes, account.user_id, membership, device, AMR)
        await audit.record(
            writes,
            call,
            events.SignedIn(
                tenant_id=membership.tenant_id,
                user_id=account.user_id,
                session_id=opened.session_id,
                known_device=attempt.device is not None,
                password_rehashed=verdict.rehash is not None,
            ),
        )
        await writes.run(tx)
    metrics.logins.labels("succeeded", "").inc()
    grantee = Grantee.of(account, membership, opened, auth_time=call.at, amr=AMR)
    device_token = devices.write(rt.keyring.derived(Usage.DEVICE), device)
    return grant(rt, call, grantee, opened.refresh_token, device_token=device_token)


async def _reserve(rt: Runtime, call: Call, email: str, device: str | None) -> Attempt:
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


async def _hold_membership(
    tx: Tx, account: Account | None, organization: str | None
) -> Membership | None:
    """Return the organization asked for, or the person's first; it does not close meanwhile."""
    if account is None:
        return None
    memberships = await users.lock_memberships(tx, account.user_id)
    return next((m for m in memberships if organization in (None, m.slug)), None)


async def _remember_device(
    rt: Runtime, call: Call, tx: Writes, account: Account, known: DeviceId | None
) -> DeviceId:
    policy = rt.policy.lockout
    expires_at = call.at + seconds(policy.device_ttl)
    if known is not None:
        await devices.touch(tx, known, call.at, expires_at)
        return known
    device = DeviceId(ids.new(call.at))
    await devices.insert(tx, device, account.user_id, call.at, expires_at, policy.devices)
    return device
