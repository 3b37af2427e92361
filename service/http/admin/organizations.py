"""/admin/organizations."""

import msgspec
from litestar import Response, Router, get, post, put
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Struct

from service.domain.organizations import Organization
from service.flows.organizations import administer as flows
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import Cursor, Id, Limit, Moment, Name, PathId, Slug
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import path_id
from service.kernel.ids import TenantId
from service.policy import TokenOverrides


class NewOrganizationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A slug, which cannot be changed later, and a name."""

    slug: Slug
    name: Name


class OrganizationChangeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A new name, or the lifetimes that this organization overrides (seconds, as in the policy)."""

    name: Name | None = None
    policy: TokenOverrides | None = None


_NOTHING = OrganizationChangeForm()


class OrganizationRecord(Struct, frozen=True):
    """An organization, as administrators see it."""

    id: Id
    slug: str
    name: str
    policy: dict[str, int | bool]
    created_at: Moment
    disabled_at: Moment | None


class OrganizationsAnswer(Struct, frozen=True):
    """A page of organizations."""

    items: list[OrganizationRecord]
    next_cursor: str | None


@post("/organizations", status_code=201)
async def create(
    context: FromCaller, data: JSONBody[NewOrganizationForm]
) -> Response[OrganizationRecord]:
    """Create an organization (platform administrators)."""
    made = await flows.create(context.rt, context.call, data.slug, data.name)
    return Response(_record(made), status_code=201)


@get("/organizations")
async def list_all(
    context: FromCaller, limit: FromQuery[Limit] = USUAL, cursor: FromQuery[Cursor | None] = None
) -> OrganizationsAnswer:
    """List organizations (platform administrators)."""
    most, after = limit, read_cursor(context.rt, "organizations", cursor)
    found = await flows.list_all(context.rt, context.call, after, most)
    return OrganizationsAnswer(
        [_record(one) for one in found],
        next_cursor(context.rt, "organizations", found, most, lambda one: one.tenant_id),
    )


@get("/organizations/{tenant_id:str}")
async def read(context: FromCaller, tenant_id: FromPath[PathId]) -> OrganizationRecord:
    """Return the caller's organization; for platform administrators, any."""
    return _record(await flows.read(context.rt, context.call, TenantId(path_id(tenant_id))))


@put("/organizations/{tenant_id:str}")
async def change(
    context: FromCaller,
    tenant_id: FromPath[PathId],
    data: JSONBody[OrganizationChangeForm] = _NOTHING,
) -> OrganizationRecord:
    """Rename an organization, or replace its lifetimes (platform administrators)."""
    there = TenantId(path_id(tenant_id))
    return _record(await flows.change(context.rt, context.call, there, data.name, data.policy))


@post("/organizations/{tenant_id:str}/disable", status_code=204)
async def disable(context: FromCaller, tenant_id: FromPath[PathId]) -> None:
    """Disable an organization: its sessions end and its tokens are revoked (platform only)."""
    await flows.disable(context.rt, context.call, TenantId(path_id(tenant_id)))


@post("/organizations/{tenant_id:str}/enable", status_code=204)
async def enable(context: FromCaller, tenant_id: FromPath[PathId]) -> None:
    """Enable an organization again (platform administrators)."""
    await flows.enable(context.rt, context.call, TenantId(path_id(tenant_id)))


def _record(one: Organization) -> OrganizationRecord:
    policy = msgspec.json.decode(one.policy, type=dict[str, int | bool]) if one.policy else {}
    return OrganizationRecord(
        str(one.tenant_id), one.slug, one.name, policy, one.created_at, one.disabled_at
    )


router = Router(
    "/admin",
    route_handlers=[create, list_all, read, change, disable, enable],
    dependencies={"context": Provide(provide_administrator)},
)
