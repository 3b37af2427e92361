"""A person changes their password."""

from service.domain import audit, devices, sessions, users
from service.domain.audit import events
from service.domain.users import Membership
from service.flows.shared import limiting, password_attempts
from service.flows.shared.ending import Cause, OfPerson, close, take
from service.flows.shared.password_attempts import Attempt
from service.kernel.call import Call, Person
from service.kernel.passwords import Verdict
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def change_password(
    rt: Runtime, call: Call, person: Person, current: str, new: str, device: str | None
) -> None:
    """Replace the password and end the person's other sessions.

    Attempts count towards the same lockout as sign-ins.  Refused: TOO_MANY, since an attempt costs
    a hash even while the account is locked; INVALID_REQUEST for a weak password; BAD_CREDENTIALS
    for a wrong current password or a locked account; UNAVAILABLE while as many other attempts as
    may still fail have no verdict; UNAUTHENTICATED when the session has ended meanwhile.
    """
    await limiting.spend(rt, "password", rt.policy.limits.create, str(person.user_id))
    async with rt.pg.reading() as tx:
        account = await users.find(tx, person.user_id)
        if account is None:
            raise Refused(Reason.UNAUTHENTICATED, private="password: no such person")
        memberships = await users.list_memberships(tx, person.user_id)
    here = next((m for m in memberships if m.tenant_id == person.tenant_id), None)
    users.refuse_weak(
        rt.known_passwords,
        new,
        email=account.email,
        organization=here.name if here else "",
        field="new_password",
    )
    attempt = await password_attempts.reserve(rt, account, device)

    async def settle(attempt: Attempt, verdict: Verdict) -> None:
        # If hashing is refused here, the current password was right: the place is given back.
        new_hash = await rt.passwords.hash(new) if verdict.ok else ""
        await _settle(rt, call, person, attempt, verdict, new_hash, here)

    await password_attempts.decide(rt, attempt, current, settle)


async def _settle(
    rt: Runtime,
    call: Call,
    person: Person,
    attempt: Attempt,
    verdict: Verdict,
    new_hash: str,
    here: Membership | None,
) -> None:
    async with rt.pg.decision() as tx:
        now = await password_attempts.hold(tx, attempt)
        why = await password_attempts.judge(rt, call, tx, attempt, now, verdict, here)
        if why is not None:
            await audit.record(
                tx,
                call,
                events.PasswordChangeFailed(
                    tenant_id=person.tenant_id,
                    user_id=person.user_id,
                    session_id=person.session_id,
                    why=why,
                ),
            )
            raise password_attempts.refusal(why, "password", "the current password is not right")
        if not await sessions.lock_live(tx, person.session_id, person.user_id, call.at):
            raise Refused(Reason.UNAUTHENTICATED, private="password: session has ended")
        await users.change_password(tx, person.user_id, new_hash, call.at)
        await devices.forget_others(tx, person.user_id, attempt.device)
        others = OfPerson(person.user_id, kept=person.session_id)
        ended = await take(call, tx, others, Cause.PASSWORD_CHANGED)
        changed = events.PasswordChanged(
            tenant_id=person.tenant_id,
            user_id=person.user_id,
            session_id=person.session_id,
            sessions_ended=len(ended),
        )
        await close(call, tx, ended, Cause.PASSWORD_CHANGED, [changed])
