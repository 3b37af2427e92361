"""Sign in with e-mail and password."""

from msgspec import Struct

from service.domain import audit, devices, users
from service.domain.audit import events
from service.domain.clients import CONSOLE
from service.domain.keyring import Usage
from service.domain.users import Account, HeldMembership
from service.flows.shared import limiting, password_attempts
from service.flows.shared.issuing import Granted, Grantee, grant, open_session
from service.flows.shared.password_attempts import Attempt
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.ids import DeviceId
from service.kernel.passwords import Verdict
from service.kernel.sql import Together, Tx, Writes
from service.policy import seconds
from service.runtime import Runtime

AMR = ("pwd",)
"""RFC 8176."""


class Credentials(Struct, frozen=True):
    """What a person types.  `device` is the device cookie of an earlier sign-in, if any."""

    email: str
    password: str
    organization: str | None = None
    device: str | None = None


async def sign_in(rt: Runtime, call: Call, given: Credentials) -> Granted:
    """Open a session.  All failures take the same time, get the same answer and are recorded.

    Refused: TOO_MANY by address; BAD_CREDENTIALS for an unknown, locked or disabled account and
    for a wrong password alike; UNAVAILABLE when hashing or PostgreSQL cannot keep up, and when all
    places for attempts are taken by others that get no verdict in time.
    """
    # Refuse these first, so that they do not take places from others.
    limiting.refuse_barred(rt, call, "login", rt.policy.limits.login)
    with rt.passwords.coming():
        await limiting.spend_address(rt, call, "login", rt.policy.limits.login)
        name = users.login_name(given.email)
        attempt = await password_attempts.reserve_by_email(rt, name, given.device)

    async def settle(attempt: Attempt, verdict: Verdict) -> Granted:
        return await _settle(rt, call, given, attempt, verdict)

    return await password_attempts.decide(rt, attempt, given.password, settle)


async def _settle(
    rt: Runtime, call: Call, given: Credentials, attempt: Attempt, verdict: Verdict
) -> Granted:
    async with rt.pg.decision() as tx:
        # The account as it is now: it may have changed while the password was hashed.
        account = await password_attempts.hold(tx, attempt)
        membership = await _hold_membership(tx, account, given.organization)
        why = await password_attempts.judge(rt, call, tx, attempt, account, verdict, membership)
        if why is None and membership is None:
            why = "no_membership"
        if why is not None or account is None or membership is None:
            why = why or "unknown"
            await audit.record(
                tx,
                call,
                events.SignInFailed(
                    tenant_id=membership.tenant_id if membership else None,
                    user_id=account.user_id if account else None,
                    why=why,
                ),
            )
            metrics.logins.labels("failed", why).inc()
            raise password_attempts.refusal(why, "sign-in")

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
    return await grant(rt, call, grantee, opened.refresh_token, device_token=device_token)


async def _hold_membership(
    tx: Tx, account: Account | None, organization: str | None
) -> HeldMembership | None:
    """Lock the membership that was asked for, or the person's first, and return it."""
    if account is None:
        return None
    memberships = await users.lock_memberships(tx, account.user_id, CONSOLE)
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
