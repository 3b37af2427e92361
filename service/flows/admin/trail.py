"""Administrators read the audit trail, and its checkpoints to keep elsewhere."""

from typing import Final
from uuid import UUID

from service.domain import audit, organizations, seals
from service.domain.audit import Entry, Filter
from service.domain.seals import PLATFORM, Checkpoint
from service.flows.admin.reach import record_crossing, require_platform, target
from service.flows.authority import Act, require
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

THE_PLATFORM: Final = TenantId(PLATFORM)
"""Asked for like an organization: what concerns none, for platform administrators."""


async def read_trail(
    rt: Runtime,
    call: Call,
    tenant_id: TenantId | None,
    wanted: Filter,
    before: UUID | None,
    most: int,
) -> list[Entry]:
    """Return a page of an organization's events, the newest first.

    One's own organization's, or as a platform administrator another's, which leaves an event.
    Refused: FORBIDDEN; NOT_FOUND for an organization that is out of reach or is none.
    """
    async with rt.pg.decision() as tx:
        chain_id = await _enter(tx, call, tenant_id, Act.READ_AUDIT)
        return await audit.read_page(tx, chain_id, wanted, before, most)


async def read_checkpoints(
    rt: Runtime, call: Call, tenant_id: TenantId | None, before: UUID | None, most: int
) -> list[Checkpoint]:
    """Return a page of the signed checkpoints of a chain, the newest first."""
    async with rt.pg.decision() as tx:
        chain_id = await _enter(tx, call, tenant_id, Act.READ_AUDIT)
        return await seals.list_checkpoints(tx, chain_id, before, most)


async def _enter(tx: Tx, call: Call, tenant_id: TenantId | None, act: Act) -> UUID:
    if tenant_id == THE_PLATFORM:
        require_platform(call, act)
        return PLATFORM
    person = require(call, act)
    there = target(person, tenant_id)
    if there != person.tenant_id and await organizations.find(tx, there) is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    await record_crossing(tx, call, person, there, act)
    return there
