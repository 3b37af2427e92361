"""Administrators read the audit trail, and its checkpoints, which should be kept elsewhere."""

from uuid import UUID

from service.domain import audit, seals
from service.domain.audit import Entry, Filter
from service.domain.seals import Checkpoint
from service.flows.shared.permissions import Permission
from service.flows.shared.reach import enter, record_look
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime

EVENT_TYPES = audit.TYPES
"""The types of all events."""


async def read_trail(
    rt: Runtime,
    call: Call,
    tenant_id: TenantId | None,
    wanted: Filter,
    before: UUID | None,
    most: int,
) -> list[Entry]:
    """Return a page of an organization's events, the newest first.

    A platform administrator may read any organization's, which records an event there.
    Refused: FORBIDDEN; NOT_FOUND for an organization that does not exist or is out of reach.
    """
    async with rt.pg.decision() as tx:
        there = await enter(tx, call, tenant_id, Permission.READ_AUDIT)
        await record_look(tx, call, there, Permission.READ_AUDIT)
        return await audit.read_page(tx, seals.chain_of(there), wanted, before, most)


async def read_checkpoints(
    rt: Runtime, call: Call, tenant_id: TenantId | None, before: UUID | None, most: int
) -> list[Checkpoint]:
    """Return a page of the signed checkpoints of a chain, the newest first."""
    async with rt.pg.decision() as tx:
        there = await enter(tx, call, tenant_id, Permission.READ_AUDIT)
        await record_look(tx, call, there, Permission.READ_AUDIT)
        return await seals.list_checkpoints(tx, seals.chain_of(there), before, most)
