"""Sign out: here, or everywhere."""

from service.domain import audit, families, sessions, users
from service.domain.audit import events
from service.domain.sessions import Why
from service.flows.access.ending import close_sessions
from service.flows.access.granting import minter
from service.kernel.call import Call, Person
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def sign_out(rt: Runtime, call: Call, refresh_token: str | None) -> None:
    """End the session of the bearer or of the cookie.  Nothing to end is no failure."""
    holder = await _holder(rt, call, refresh_token)
    if holder is None:
        return
    user_id, session_id, tenant_id = holder
    async with rt.pg.decision() as tx:
        ended = await sessions.end_one(tx, session_id, user_id, call.at, Why.SIGNED_OUT)
        if ended is not None:
            await audit.record(
                tx,
                call,
                events.SessionEnded(
                    tenant_id=tenant_id,
                    user_id=user_id,
                    session_id=session_id,
                    why=Why.SIGNED_OUT,
                ),
            )
        entries = await close_sessions(call, tx, [ended] if ended else [], "signed out")
    await rt.revocations.announce(entries)


async def sign_out_everywhere(rt: Runtime, call: Call, refresh_token: str | None) -> None:
    """End all sessions of the person.  Refused(UNAUTHENTICATED) when nobody is signed in."""
    holder = await _holder(rt, call, refresh_token)
    if holder is None:
        raise Refused(Reason.UNAUTHENTICATED, private="sign-out everywhere: nobody")
    user_id, session_id, tenant_id = holder
    async with rt.pg.decision() as tx:
        await users.lock(tx, user_id)
        ended = await sessions.end_all(tx, user_id, call.at, Why.SIGNED_OUT_EVERYWHERE)
        await audit.record(
            tx,
            call,
            events.SessionEnded(
                tenant_id=tenant_id,
                user_id=user_id,
                session_id=session_id,
                why=Why.SIGNED_OUT_EVERYWHERE,
                count=len(ended),
            ),
        )
        entries = await close_sessions(call, tx, ended, "signed out everywhere")
    await rt.revocations.announce(entries)


async def _holder(
    rt: Runtime, call: Call, refresh_token: str | None
) -> tuple[UserId, SessionId, TenantId] | None:
    """Return whose session it is: the bearer's, else that of a genuine live refresh token."""
    if isinstance(call.actor, Person):
        return call.actor.user_id, call.actor.session_id, call.actor.tenant_id
    presented = minter(rt).read(refresh_token) if refresh_token else None
    if presented is None:
        return None
    async with rt.pg.reading() as tx:
        owner = await families.find_owner(tx, presented.handle_hash)
    if owner is None or not owner.alive(call.at):
        return None
    return owner.user_id, owner.session_id, owner.tenant_id
