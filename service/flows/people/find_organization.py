"""Which organization is meant by a slug."""

from service.domain import organizations
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def find_tenant(rt: Runtime, slug: str) -> TenantId:
    """Return an organization's id.  Refused(NOT_FOUND) when none has this slug."""
    async with rt.pg.reading() as tx:
        found = await organizations.find_by_slug(tx, slug)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization", fields=("organization",))
    return found.tenant_id
