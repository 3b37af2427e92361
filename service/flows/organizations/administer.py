"""Platform administrators manage organizations."""

from uuid import UUID

import msgspec

from service.domain import audit, organizations
from service.domain.audit import events
from service.domain.organizations import Organization
from service.domain.revocations import Kind
from service.flows.organizations.create import create_organization
from service.flows.shared import limiting
from service.flows.shared.cutoff import cut_off
from service.flows.shared.ending import Cause, OfOrganization, end
from service.flows.shared.naming import check_name
from service.flows.shared.permissions import Permission, require
from service.flows.shared.reach import (
    find_organization,
    lock_organization,
    lock_out,
    record_look,
    record_looks,
    refuse_last_way_in,
    require_platform,
    target,
)
from service.kernel.call import Call, Operator
from service.kernel.ids import TenantId
from service.policy import TokenOverrides
from service.runtime import Runtime


async def create(rt: Runtime, call: Call, slug: str, name: str) -> Organization:
    """Create an organization.  Refused: FORBIDDEN, INVALID_REQUEST, CONFLICT, TOO_MANY."""
    administrator = require_platform(call, Permission.KEEP_ORGANIZATIONS)
    await limiting.spend_own(rt, call, "create_organization", administrator)
    return await create_organization(rt, call, slug, name)


async def list_all(rt: Runtime, call: Call, after: UUID | None, most: int) -> list[Organization]:
    """Return a page of organizations, the oldest first, and record an event in each of them."""
    require_platform(call, Permission.KEEP_ORGANIZATIONS)
    async with rt.pg.decision() as tx:
        found = await organizations.list_page(tx, after, most)
        shown = [one.tenant_id for one in found]
        await record_looks(tx, call, shown, Permission.READ_ORGANIZATION)
    return found


async def read(rt: Runtime, call: Call, tenant_id: TenantId) -> Organization:
    """Return the caller's organization; for platform administrators, any.  Refused(NOT_FOUND)."""
    administrator = require(call, Permission.READ_ORGANIZATION)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        found = await find_organization(tx, there)
        await record_look(tx, call, there, Permission.READ_ORGANIZATION)
    return found


async def change(
    rt: Runtime, call: Call, tenant_id: TenantId, name: str | None, policy: TokenOverrides | None
) -> Organization:
    """Rename an organization, or replace all the lifetimes it overrides.

    Refused: FORBIDDEN, NOT_FOUND; INVALID_REQUEST for a bad name.
    """
    require_platform(call, Permission.KEEP_ORGANIZATIONS)
    if name is not None:
        check_name(name)
    async with rt.pg.decision() as tx:
        before = await lock_organization(tx, tenant_id)
        overrides = before.policy if policy is None else msgspec.json.encode(policy).decode()
        await organizations.change(tx, tenant_id, name or before.name, overrides)
        changed = events.OrganizationChanged(
            tenant_id=tenant_id, renamed=name is not None, policy=policy is not None
        )
        await audit.record(tx, call, changed)
        return await lock_organization(tx, tenant_id)


async def disable(rt: Runtime, call: Call, tenant_id: TenantId) -> None:
    """Disable an organization: sign-ins are refused, its sessions end, its tokens are revoked.

    Repeating it revokes again, in case a token was issued meanwhile.

    Refused: NOT_FOUND; CONFLICT when no platform administrator could sign in any more.
    """
    require_platform(call, Permission.KEEP_ORGANIZATIONS)
    async with rt.pg.decision() as tx:
        before = await lock_out(tx, tenant_id)
        if before.disabled_at is None:
            await refuse_last_way_in(tx, tenant_id=tenant_id)
            await organizations.set_disabled(tx, tenant_id, call.at)
            disabled = events.OrganizationDisabled(tenant_id=tenant_id)
            everyone = OfOrganization(tenant_id)
            await end(call, tx, everyone, Cause.ORGANIZATION_DISABLED, told=[disabled])
        await cut_off(rt, tx, Kind.TENANT_ID, str(tenant_id), tenant_id, "organization disabled")


async def enable(rt: Runtime, call: Call, tenant_id: TenantId) -> None:
    """Enable an organization; people must sign in again.  Also for the operator."""
    if not isinstance(call.actor, Operator):
        require_platform(call, Permission.KEEP_ORGANIZATIONS)
    async with rt.pg.decision() as tx:
        before = await lock_organization(tx, tenant_id)
        if before.disabled_at is None:
            return
        await organizations.set_disabled(tx, tenant_id, None)
        await audit.record(tx, call, events.OrganizationEnabled(tenant_id=tenant_id))
