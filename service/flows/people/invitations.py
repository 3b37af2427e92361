"""Administrators list open invitations, and withdraw one."""

from uuid import UUID

from service.domain import audit, invitations
from service.domain.audit import events
from service.domain.invitations import Open
from service.flows.shared.permissions import Permission, reach, require
from service.flows.shared.reach import find_organization, record_look, refuse_above, target
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def list_open(
    rt: Runtime, call: Call, tenant_id: TenantId | None, after: UUID | None, most: int
) -> list[Open]:
    """Return a page of an organization's invitations that can be accepted, the oldest first."""
    administrator = require(call, Permission.READ_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        await find_organization(tx, there)
        await record_look(tx, call, there, Permission.READ_PEOPLE)
        return await invitations.list_open(tx, there, after, call.at, most)


async def withdraw(rt: Runtime, call: Call, invitation_id: UUID) -> None:
    """Withdraw an invitation: its link stops working.

    Refused: NOT_FOUND for a used, expired, unknown or other organization's invitation; FORBIDDEN
    for the invitation of an owner, unless the caller is an owner.
    """
    administrator = require(call, Permission.KEEP_PEOPLE)
    async with rt.pg.decision() as tx:
        found = await invitations.lock_one(tx, invitation_id, reach(administrator), call.at)
        if found is None:
            raise Refused(Reason.NOT_FOUND, "no such invitation")
        refuse_above(administrator, found.role)
        await invitations.use(tx, invitation_id, call.at)
        withdrawn = events.InvitationWithdrawn(
            tenant_id=found.tenant_id, invitation_id=invitation_id, role=found.role
        )
        await audit.record(tx, call, withdrawn)
