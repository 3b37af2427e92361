"""Find an organization by its slug."""

from service.domain import organizations
from service.domain.organizations import Organization
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


async def find_organization(tx: Tx, slug: str | None) -> Organization | None:
    """Return the organization with this slug; None: without a slug.  Refused(NOT_FOUND)."""
    return None if slug is None else await _named(tx, slug)


async def find_tenant(rt: Runtime, slug: str) -> TenantId:
    """Return the id of the organization with this slug.  Refused(NOT_FOUND)."""
    async with rt.pg.reading() as tx:
        return (await _named(tx, slug)).tenant_id


async def _named(tx: Tx, slug: str) -> Organization:
    found = await organizations.find_by_slug(tx, slug)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization", fields=("organization",))
    return found
