"""`client create`."""

from pathlib import Path

import click

from service.cli import edge
from service.cli.grammar import Group
from service.flows.clients.create import create_client
from service.flows.shared.new_client import Created, NewClient
from service.kernel.call import Call
from service.runtime import Runtime


@click.group(cls=Group)
def client() -> None:
    """OAuth clients: services."""


@client.command("create")
@click.option("--name", required=True)
@click.option("--organization", help="Slug; without it: a client of the platform.")
@click.option("--scope", "scopes", multiple=True, required=True, help="May be repeated.")
@click.option(
    "--jwks",
    "jwks_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public keys (a JWK set): the client signs assertions and has no secret.",
)
@click.option("--json", "as_json", is_flag=True)
def create(
    name: str,
    organization: str | None,
    scopes: tuple[str, ...],
    jwks_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Create a client.  Its secret is shown only this once."""
    new = NewClient(
        name=name,
        scopes=tuple(part for scope in scopes for part in scope.split()),
        jwks=jwks_file.read_text("utf-8", "replace") if jwks_file else None,
    )

    async def act(rt: Runtime, call: Call) -> Created:
        return await create_client(rt, call, new, organization)

    made = edge.run(act)
    told = {
        "client_id": made.client.client_id,
        "client_secret": made.secret,
        "name": made.client.name,
        "organization": organization,
        "scopes": list(made.client.scopes),
    }
    secret = f"\nsecret, shown this once: {made.secret}" if made.secret else ""
    edge.tell(f"client {made.client.client_id} created{secret}", told, as_json=as_json)
