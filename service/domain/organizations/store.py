"""Statements on auth_organizations."""

from datetime import datetime

from service.domain.organizations.model import Organization
from service.kernel.ids import TenantId
from service.kernel.sql import Queries, Tx

queries = Queries("organizations")
_insert = queries.rows("insert", Organization)
_find_by_slug = queries.rows("find_by_slug", Organization)


async def insert(
    tx: Tx, tenant_id: TenantId, slug: str, name: str, at: datetime
) -> Organization | None:
    """Add an organization; None when the slug is taken."""
    return await _insert.maybe(tx, tenant_id=tenant_id, slug=slug, name=name, created_at=at)


async def find_by_slug(tx: Tx, slug: str) -> Organization | None:
    """Return the organization of that slug, disabled or not."""
    return await _find_by_slug.maybe(tx, slug=slug)
