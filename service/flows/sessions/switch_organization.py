"""A person switches to another of their organizations."""

from service.domain import sessions, users
from service.domain.audit import events
from service.domain.clients import CONSOLE
from service.flows.shared import limiting
from service.flows.shared.ending import Cause, One, end
from service.flows.shared.issuing import Granted, Grantee, grant, open_session
from service.kernel.call import Call, Person
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def switch_organization(rt: Runtime, call: Call, person: Person, slug: str) -> Granted:
    """Replace the session by one in another organization; it ends no later than the first.

    Refused: TOO_MANY, since each switch adds a session, and a revocation to every verifier;
    NOT_FOUND when the person is not a member there, or there is no such organization;
    UNAUTHENTICATED when the session has ended meanwhile.
    """
    await limiting.spend(rt, "switch", rt.policy.limits.create, str(person.user_id))
    async with rt.pg.decision() as tx:
        account = await users.lock(tx, person.user_id)
        memberships = await users.lock_memberships(tx, person.user_id, CONSOLE)
        before = await sessions.lock_live(tx, person.session_id, person.user_id, call.at)
        if account is None or account.disabled_at is not None or before is None:
            raise Refused(Reason.UNAUTHENTICATED, private="switch: session has ended")
        membership = next((m for m in memberships if m.slug == slug), None)
        if membership is None:
            raise Refused(Reason.NOT_FOUND, "no such organization")

        opened = await open_session(
            rt,
            call,
            tx,
            person.user_id,
            membership,
            before.device_id,
            before.amr,
            auth_time=before.auth_time,
            expires_at=before.expires_at,
        )
        switched = events.OrganizationSwitched(
            tenant_id=membership.tenant_id,
            user_id=person.user_id,
            session_id=opened.session_id,
            from_tenant_id=person.tenant_id,
        )
        left = One(person.user_id, person.session_id)
        await end(call, tx, left, Cause.ORGANIZATION_SWITCHED, told=[switched])
    grantee = Grantee.of(account, membership, opened, auth_time=before.auth_time, amr=before.amr)
    return await grant(rt, call, grantee, opened.refresh_token)
