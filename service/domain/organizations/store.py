"""Statements on auth_organizations."""

from datetime import datetime
from uuid import UUID

from service.domain.organizations.model import Organization
from service.kernel.ids import TenantId
from service.kernel.sql import Queries, Tx

queries = Queries("organizations")
_insert = queries.rows("insert", Organization)
_find = queries.rows("find", Organization)
_lock = queries.rows("lock", Organization)
_lock_out = queries.rows("lock_out", Organization)
_list_page = queries.rows("list_page", Organization)
_set_disabled = queries.command("set_disabled")
_change = queries.command("change")
_find_by_slug = queries.rows("find_by_slug", Organization)


async def insert(
    tx: Tx, tenant_id: TenantId, slug: str, name: str, at: datetime
) -> Organization | None:
    """Add an organization; None when the slug is taken."""
    return await _insert.maybe(tx, tenant_id=tenant_id, slug=slug, name=name, created_at=at)


async def find_by_slug(tx: Tx, slug: str) -> Organization | None:
    """Return the organization with that slug, disabled or not."""
    return await _find_by_slug.maybe(tx, slug=slug)


async def find(tx: Tx, tenant_id: TenantId) -> Organization | None:
    """Return an organization, disabled or not."""
    return await _find.maybe(tx, tenant_id=tenant_id)


async def lock(tx: Tx, tenant_id: TenantId) -> Organization | None:
    """Lock an organization and return it.  Lock order: before user, session and family."""
    return await _lock.maybe(tx, tenant_id=tenant_id)


async def lock_out(tx: Tx, tenant_id: TenantId) -> Organization | None:
    """Lock an organization so that nobody can open a session there either, and return it."""
    return await _lock_out.maybe(tx, tenant_id=tenant_id)


async def list_page(tx: Tx, after: UUID | None, most: int) -> list[Organization]:
    """Return a page of organizations after an id, the oldest first."""
    return await _list_page.all(tx, after=after, most=most)


async def set_disabled(tx: Tx, tenant_id: TenantId, disabled_at: datetime | None) -> None:
    """Disable an organization; `disabled_at` None: enable it."""
    await _set_disabled.run(tx, tenant_id=tenant_id, disabled_at=disabled_at)


async def change(tx: Tx, tenant_id: TenantId, name: str, policy: str | None) -> None:
    """Set the name of an organization, and the lifetimes that it overrides."""
    await _change.run(tx, tenant_id=tenant_id, name=name, policy=policy)
