"""Administrators list and end sessions: one, all of a person, all of an organization."""

from service.domain import audit, sessions, users
from service.domain.audit import events
from service.domain.sessions import LiveSession, Why
from service.flows.shared.ending import close_sessions
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
        ended = None
        if found is not None and reaches(administrator, found.tenant_id):
            member = await users.find_member(tx, found.tenant_id, found.user_id)
            refuse_above(administrator, *([member.role] if member else []))
            ended = await sessions.end_one(
                tx, session_id, found.user_id, call.at, Why.ENDED_BY_ADMIN
            )
        if found is None or ended is None:
            raise Refused(Reason.NOT_FOUND, "no such session")
        await audit.record(tx, call, _ended(found.tenant_id, found.user_id, session_id))
        await close_sessions(call, tx, [ended], "ended by an administrator")


async def end_person_sessions(rt: Runtime, call: Call, user_id: UserId) -> int:
    """End all sessions of a person that the administrator may see; return how many.

    Refused: NOT_FOUND; FORBIDDEN for an owner's sessions, unless the caller is an owner.
    """
    administrator = require(call, Permission.END_SESSIONS)
    async with rt.pg.decision() as tx:
        within = reach(administrator)
        if within is None:
            if await users.lock(tx, user_id) is None:
                raise Refused(Reason.NOT_FOUND, "no such person")
            await refuse_account_above(tx, administrator, user_id)
        else:
            await users.lock_member(tx, within, user_id)
            refuse_above(administrator, (await find_member(tx, within, user_id)).role)
        ended = await sessions.end_all(tx, user_id, call.at, Why.ENDED_BY_ADMIN, tenant_id=within)
        if not ended:
            await audit.record(tx, call, _ended(administrator.tenant_id, user_id, count=0))
        for tenant_id in sorted({one.tenant_id for one in ended}):
            count = sum(one.tenant_id == tenant_id for one in ended)
            await audit.record(tx, call, _ended(tenant_id, user_id, count=count))
        await close_sessions(call, tx, ended, "ended by an administrator")
    return len(ended)


async def end_organization_sessions(rt: Runtime, call: Call, tenant_id: TenantId) -> int:
    """End every session of an organization; return how many.  Refused(NOT_FOUND)."""
    there = target(require(call, Permission.END_ORGANIZATION_SESSIONS), tenant_id)
    async with rt.pg.decision() as tx:
        await find_organization(tx, there)
        ended = await sessions.end_organization(tx, there, call.at, Why.ENDED_BY_ADMIN)
        await audit.record(tx, call, _ended(tenant_id, count=len(ended)))
        await close_sessions(call, tx, ended, "organization signed out")
    return len(ended)


def _ended(
    tenant_id: TenantId | None,
    user_id: UserId | None = None,
    session_id: SessionId | None = None,
    *,
    count: int = 1,
) -> events.SessionEnded:
    return events.SessionEnded(
        tenant_id=tenant_id,
        user_id=user_id,
        session_id=session_id,
        why=Why.ENDED_BY_ADMIN,
        count=count,
    )
