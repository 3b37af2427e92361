"""Administrators list and end sessions: one, all of a person, all of an organization."""

from service.domain import sessions, users
from service.domain.audit import events
from service.domain.sessions import LiveSession
from service.flows.shared.ending import (
    Cause,
    OfOrganization,
    OfPerson,
    One,
    by_organization,
    close,
    end,
    take,
)
from service.flows.shared.permissions import Permission, is_of_platform, reach, reaches, require
from service.flows.shared.reach import (
    find_member,
    find_organization,
    record_looks,
    refuse_above,
    refuse_account_above,
    target,
)
from service.kernel.call import Call
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def list_sessions(rt: Runtime, call: Call, user_id: UserId) -> list[LiveSession]:
    """Return a person's live sessions that the administrator may see.

    Refused(NOT_FOUND) for a person outside the administrator's organization, as for an unknown one.
    """
    administrator = require(call, Permission.READ_SESSIONS)
    async with rt.pg.decision() as tx:
        memberships = await users.list_memberships(tx, user_id)
        account = await users.find(tx, user_id)
        here = [m for m in memberships if reaches(administrator, m.tenant_id)]
        if account is None or (not here and not is_of_platform(administrator)):
            raise Refused(Reason.NOT_FOUND, "no such person")
        found = await sessions.list_live(tx, user_id, call.at)
        live = [one for one in found if reaches(administrator, one.tenant_id)]
        shown = {one.tenant_id for one in here} | {one.tenant_id for one in live}
        await record_looks(tx, call, sorted(shown), Permission.READ_SESSIONS, user_id)
    return live


async def end_session(rt: Runtime, call: Call, session_id: SessionId) -> None:
    """End one session.

    Refused: NOT_FOUND for an ended, unknown or other organization's session; FORBIDDEN for an
    owner's session, unless the caller is an owner.
    """
    administrator = require(call, Permission.END_SESSIONS)
    async with rt.pg.decision() as tx:
        found = await sessions.find(tx, session_id)
        if found is None or not reaches(administrator, found.tenant_id):
            raise Refused(Reason.NOT_FOUND, "no such session")
        member = await users.find_member(tx, found.tenant_id, found.user_id)
        refuse_above(administrator, *([member.role] if member else []))
        if not await end(call, tx, One(found.user_id, session_id), Cause.ENDED_BY_ADMIN):
            raise Refused(Reason.NOT_FOUND, "no such session")


async def end_person_sessions(rt: Runtime, call: Call, user_id: UserId) -> int:
    """End all sessions of a person that the administrator may see; return how many.

    Refused: NOT_FOUND; FORBIDDEN for an owner's sessions, unless the caller is an owner.
    """
    administrator = require(call, Permission.END_SESSIONS)
    cause = Cause.ENDED_BY_ADMIN
    async with rt.pg.decision() as tx:
        within = reach(administrator)
        if within is None:
            if await users.lock(tx, user_id) is None:
                raise Refused(Reason.NOT_FOUND, "no such person")
            await refuse_account_above(tx, administrator, user_id)
        else:
            await users.lock_member(tx, within, user_id)
            refuse_above(administrator, (await find_member(tx, within, user_id)).role)
        ended = await take(call, tx, OfPerson(user_id, within), cause)
        groups = sorted(by_organization(ended).items())
        told = [_told(cause, tenant_id, len(group), user_id) for tenant_id, group in groups]
        told = told or [_told(cause, administrator.tenant_id, 0, user_id)]
        await close(call, tx, ended, cause, told)
    return len(ended)


async def end_organization_sessions(rt: Runtime, call: Call, tenant_id: TenantId) -> int:
    """End every session of an organization; return how many.  Refused(NOT_FOUND)."""
    there = target(require(call, Permission.END_ORGANIZATION_SESSIONS), tenant_id)
    cause = Cause.ORGANIZATION_SIGNED_OUT
    async with rt.pg.decision() as tx:
        await find_organization(tx, there)
        ended = await take(call, tx, OfOrganization(there), cause)
        await close(call, tx, ended, cause, [_told(cause, there, len(ended))])
    return len(ended)


def _told(
    cause: Cause, tenant_id: TenantId | None, count: int, user_id: UserId | None = None
) -> events.SessionEnded:
    """Return the event of an act that ended so many sessions, none too."""
    return events.SessionEnded(tenant_id=tenant_id, user_id=user_id, why=cause.why, count=count)
