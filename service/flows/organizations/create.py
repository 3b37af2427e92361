"""Create an organization."""

import re

from service.domain import audit, organizations
from service.domain.audit import events
from service.domain.organizations import Organization
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.naming import check_name
from service.flows.shared.reach import lock_organization
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused, check_all, wrong
from service.runtime import Runtime

SLUG = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""The pattern of a slug."""


async def create_organization(rt: Runtime, call: Call, slug: str, name: str) -> Organization:
    """Create an organization.  Refused: INVALID_REQUEST; CONFLICT when the slug is taken."""
    check_all(lambda: _check_slug(slug), lambda: check_name(name))
    async with rt.pg.decision() as tx:
        before = await find_made(rt, tx, call)
        if before is not None:
            return await lock_organization(tx, TenantId(ids.read(before)))
        tenant_id = TenantId(ids.new(call.at))
        made = await organizations.insert(tx, tenant_id, slug, name, call.at)
        if made is None:
            raise Refused(Reason.CONFLICT, "this slug is taken", fields=("slug",))
        await audit.record(tx, call, events.OrganizationCreated(tenant_id=tenant_id, slug=slug))
        await keep_made(rt, tx, call, tenant_id)
    return made


def _check_slug(slug: str) -> None:
    if not re.fullmatch(SLUG, slug):
        raise wrong("slug", "must be 1 to 63 lower-case letters, digits and inner hyphens")
