"""Sign out of one session, or of all."""

from service.domain import families, users
from service.domain.audit import events
from service.domain.clients import CONSOLE
from service.flows.shared.ending import Cause, OfPerson, One, close, end, take
from service.flows.shared.issuing import minter
from service.kernel.call import Call, Person
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def sign_out(rt: Runtime, call: Call, refresh_token: str | None) -> None:
    """End the sessions of the access token and of the cookie, which usually are the same one.

    It is no error when there is nothing to end.
    """
    holders = await _holders(rt, call, refresh_token)
    for user_id, session_id, _ in holders:
        async with rt.pg.decision() as tx:
            await end(call, tx, One(user_id, session_id), Cause.SIGNED_OUT)


async def sign_out_everywhere(rt: Runtime, call: Call, refresh_token: str | None) -> None:
    """End all sessions of the person.  Refused(UNAUTHENTICATED) when nobody is signed in."""
    holders = await _holders(rt, call, refresh_token)
    if not holders:
        raise Refused(Reason.UNAUTHENTICATED, private="sign-out everywhere: nobody")
    people = {user_id: (session_id, tenant_id) for user_id, session_id, tenant_id in holders[::-1]}
    for user_id, (session_id, tenant_id) in people.items():
        async with rt.pg.decision() as tx:
            await users.lock(tx, user_id)
            ended = await take(call, tx, OfPerson(user_id), Cause.SIGNED_OUT_EVERYWHERE)
            left = events.SessionEnded(
                tenant_id=tenant_id,
                user_id=user_id,
                session_id=session_id,
                why=Cause.SIGNED_OUT_EVERYWHERE.why,
                count=len(ended),
            )
            await close(call, tx, ended, Cause.SIGNED_OUT_EVERYWHERE, [left])


async def _holders(
    rt: Runtime, call: Call, refresh_token: str | None
) -> list[tuple[UserId, SessionId, TenantId]]:
    """Return the sessions of the access token and of a genuine, live refresh token of the console.

    Another application's refresh token, sent as the cookie, signs nobody out.

    They can differ, after a switch of organization in another tab or on a shared browser.  Then
    both end: the cookie is cleared, so its session must not live on.
    """
    found: list[tuple[UserId, SessionId, TenantId]] = []
    if isinstance(call.actor, Person):
        found.append((call.actor.user_id, call.actor.session_id, call.actor.tenant_id))
    presented = minter(rt).read(refresh_token) if refresh_token else None
    if presented is None:
        return found
    async with rt.pg.reading() as tx:
        owner = await families.find_owner(tx, presented.handle_hash)
    if owner is not None and owner.client_id == CONSOLE and owner.alive(call.at):
        holder = (owner.user_id, owner.session_id, owner.tenant_id)
        found += [holder] if holder not in found else []
    return found
