"""`organization create`."""

import click

from service.cli import edge
from service.cli.grammar import Group
from service.domain.organizations import Organization
from service.flows.people.create_organization import create_organization
from service.kernel.call import Call
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
