"""`organization create`, `organization enable`."""

import click

from service.cli import edge
from service.cli.grammar import Group
from service.domain.organizations import Organization
from service.flows.organizations.administer import enable as enable_organization
from service.flows.organizations.create import create_organization
from service.flows.shared.find_organization import find_tenant
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime


@click.group(cls=Group)
def organization() -> None:
    """Organizations."""


@organization.command("create")
@click.option("--slug", required=True, help="Lower-case letters, digits, inner hyphens.")
@click.option("--name", required=True)
@click.option("--json", "as_json", is_flag=True)
def create(slug: str, name: str, *, as_json: bool) -> None:
    """Create an organization."""

    async def act(rt: Runtime, call: Call) -> Organization:
        return await create_organization(rt, call, slug, name)

    made = edge.run(act)
    edge.tell(
        f"organization {made.slug} created: {made.tenant_id}",
        {"id": str(made.tenant_id), "slug": made.slug, "name": made.name},
        as_json=as_json,
    )


@organization.command("enable")
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True)
def enable(slug: str, *, as_json: bool) -> None:
    """Enable the organization SLUG again, for example when nobody can sign in to do it."""

    async def act(rt: Runtime, call: Call) -> TenantId:
        tenant_id = await find_tenant(rt, slug)
        await enable_organization(rt, call, tenant_id)
        return tenant_id

    edge.tell(
        f"organization {slug} enabled",
        {"id": str(edge.run(act)), "slug": slug},
        as_json=as_json,
    )
