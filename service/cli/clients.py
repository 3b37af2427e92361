"""`client create`, `list`, `show`, `change`, `rotate-secret`, `disable`, `enable`, `delete`."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

import click
import msgspec

from service.cli import edge
from service.cli.grammar import Group
from service.domain.clients import AuthMethod, Client, GrantType, IdTokenAlgorithm, Profile
from service.flows.clients import administer
from service.flows.clients.create import create_client
from service.flows.shared.find_organization import find_tenant
from service.flows.shared.new_client import ClientFields, Created, NewClient
from service.kernel.call import Call
from service.runtime import Runtime

F = TypeVar("F", bound=Callable[..., None])

_PAGE = 200

_REMOVABLE = frozenset(
    field.name for field in msgspec.structs.fields(ClientFields) if NoneType in get_args(field.type)
)
"""The fields that a client may be without."""

_KEPT = (
    "The values of --redirect-uri, --post-logout-redirect-uri, --origin, --require-pkce, --profile,"
    " --id-token-alg, --backchannel-logout-uri, --publisher, --logo-uri, --policy-uri and --tos-uri"
    " are checked and kept for the authorization code flow, which is being built."
)


class _FileOrEmpty(click.Path):
    """A file that exists, or the empty text, which takes a value away."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # a Path, or the empty text
        return value if value == "" else super().convert(value, param, ctx)


@click.group(cls=Group)
def client() -> None:
    """OAuth clients: applications that people sign in to, and services."""


def _described(command: F) -> F:
    """Add the options that say what a client is."""
    jwks_type = _FileOrEmpty(exists=True, dir_okay=False, path_type=Path)
    for option in reversed(
        (
            click.option("--scope", "scopes", multiple=True, help="May be repeated."),
            click.option(
                "--jwks", type=jwks_type, help="File of its public keys, a JWK set (RFC 7517)."
            ),
            click.option(
                "--auth-method",
                "token_endpoint_auth_method",
                type=click.Choice([method.value for method in AuthMethod]),
                help="How it authenticates.  A new client: private_key_jwt with --jwks, else"
                " client_secret_basic.",
            ),
            click.option(
                "--grant-type",
                "grant_types",
                multiple=True,
                type=click.Choice([grant.value for grant in GrantType]),
                help="May be repeated.",
            ),
            click.option("--redirect-uri", "redirect_uris", multiple=True, help="May be repeated."),
            click.option(
                "--post-logout-redirect-uri",
                "post_logout_redirect_uris",
                multiple=True,
                help="May be repeated.",
            ),
            click.option(
                "--origin",
                "origins",
                multiple=True,
                help="An origin of its web pages; may be repeated.",
            ),
            click.option(
                "--first-party/--no-first-party",
                default=None,
                help="Trusted as the platform's own: the tokens of its users may administer.",
            ),
            click.option(
                "--require-pkce/--no-require-pkce",
                default=None,
                help="A new client requires it by default; a public client always must.",
            ),
            click.option("--profile", type=click.Choice([*get_args(Profile), ""])),
            click.option(
                "--id-token-alg",
                "id_token_signed_response_alg",
                type=click.Choice(get_args(IdTokenAlgorithm)),
            ),
            click.option("--backchannel-logout-uri"),
            click.option("--publisher", help="Who publishes it."),
            click.option("--logo-uri"),
            click.option("--policy-uri"),
            click.option("--tos-uri"),
            click.option("--json", "as_json", is_flag=True),
        )
    ):
        command = option(command)
    return command


@client.command("create", epilog=_KEPT)
@click.option("--name", required=True)
@click.option("--organization", help="Slug.  Default: the client belongs to the platform.")
@click.option(
    "--public",
    is_flag=True,
    help="A public client, without a secret: an app, or a page in a browser.",
)
@_described
def create(
    name: str, organization: str | None, *, public: bool, as_json: bool, **given: Any
) -> None:
    """Create a client; its secret is shown this once."""
    if public:
        if given["token_endpoint_auth_method"] not in (None, AuthMethod.NONE):
            raise click.UsageError("--public goes with no --auth-method but none")
        given["token_endpoint_auth_method"] = AuthMethod.NONE
    new = NewClient(name=name, **_fields(given))

    async def act(rt: Runtime, call: Call) -> Created:
        return await create_client(rt, call, new, organization)

    made = edge.run(act)
    told = _told(made.client) | {"client_secret": made.secret, "organization": organization}
    secret = f"\nsecret, shown this once: {made.secret}" if made.secret else ""
    edge.tell(f"client {made.client.client_id} created{secret}", told, as_json=as_json)


@client.command("list")
@click.option("--organization", help="Slug.  Default: the clients of the platform.")
@click.option("--json", "as_json", is_flag=True)
def list_all(organization: str | None, *, as_json: bool) -> None:
    """List the clients of an organization, or of the platform."""

    async def act(rt: Runtime, call: Call) -> list[Client]:
        tenant_id = await find_tenant(rt, organization) if organization else None
        found: list[Client] = []
        page: list[Client] | None = None
        while page is None or len(page) == _PAGE:
            after = found[-1].client_id if found else None
            page = await administer.list_clients(rt, call, tenant_id, after, _PAGE)
            found += page
        return found

    found = edge.run(act)
    edge.tell("\n".join(map(_line, found)), {"items": [*map(_told, found)]}, as_json=as_json)


@client.command("show")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
def show(client_id: str, *, as_json: bool) -> None:
    """Show the client CLIENT_ID."""
    told = _told(edge.run(lambda rt, call: administer.read_client(rt, call, client_id)))
    lines = (f"{name}: {_text(value)}" for name, value in told.items() if value not in (None, []))
    edge.tell("\n".join(lines), told, as_json=as_json)


@client.command("change", epilog=_KEPT)
@click.argument("client_id")
@click.option("--name")
@_described
def change(client_id: str, *, as_json: bool, **given: Any) -> None:
    """Change the client CLIENT_ID.  An option that is not given changes nothing.

    The values given replace a whole list.  An empty value, as in --origin "" or --jwks "", removes
    what the client may be without.  A client that changes to a secret needs `rotate-secret`.
    """
    fields = ClientFields(**_fields(given))
    changed = edge.run(lambda rt, call: administer.change(rt, call, client_id, fields))
    edge.tell(f"client {client_id} changed", _told(changed), as_json=as_json)


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--overlap",
    type=int,
    default=0,
    help="Seconds for which the old secret still works: 0, or 60 to 604800.",
)
@click.option("--json", "as_json", is_flag=True)
def rotate_secret(client_id: str, overlap: int, *, as_json: bool) -> None:
    """Give the client CLIENT_ID another secret; it is shown this once."""
    secret = edge.run(lambda rt, call: administer.rotate_secret(rt, call, client_id, overlap))
    told = {"client_id": client_id, "client_secret": secret}
    edge.tell(f"secret, shown this once: {secret}", told, as_json=as_json)


@client.command("disable")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
def disable(client_id: str, *, as_json: bool) -> None:
    """Disable the client CLIENT_ID: its tokens die everywhere within a second."""
    _act(administer.disable, client_id, "disabled", as_json=as_json)


@client.command("enable")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
def enable(client_id: str, *, as_json: bool) -> None:
    """Enable the client CLIENT_ID again."""
    _act(administer.enable, client_id, "enabled", as_json=as_json)


@client.command("delete")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
def delete(client_id: str, *, as_json: bool) -> None:
    """Delete the client CLIENT_ID: its sessions end, and its tokens die everywhere."""
    _act(administer.delete, client_id, "deleted", as_json=as_json)


def _act(
    flow: Callable[[Runtime, Call, str], Awaitable[None]],
    client_id: str,
    done: str,
    *,
    as_json: bool,
) -> None:
    edge.run(lambda rt, call: flow(rt, call, client_id))
    edge.tell(f"client {client_id} {done}", {"client_id": client_id, done: True}, as_json=as_json)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that options give.

    An empty text removes a value that may be missing; another stays empty, and is refused later.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    for name, value in given.items():
        if isinstance(value, tuple):
            given[name] = tuple(one for one in value if one)
    if "scopes" in given:
        given["scopes"] = tuple(part for scope in given["scopes"] for part in scope.split())
    if given.get("jwks"):
        given["jwks"] = given["jwks"].read_text("utf-8", "replace")
    if "grant_types" in given:
        given["grant_types"] = tuple(map(GrantType, given["grant_types"]))
    if "token_endpoint_auth_method" in given:
        given["token_endpoint_auth_method"] = AuthMethod(given["token_endpoint_auth_method"])
    return {
        name: None if value == "" and name in _REMOVABLE else value for name, value in given.items()
    }


def _told(one: Client) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(
        {name: getattr(one, name) for name in ("client_id", "tenant_id", *_SHOWN)}
    )
    return told | {"jwks": msgspec.json.decode(one.jwks) if one.jwks else None}


_SHOWN = (*ClientFields.__struct_fields__, "created_at", "disabled_at")


def _line(one: Client) -> str:
    state = "  disabled" if one.disabled_at else ""
    return f"{one.client_id}  {one.token_endpoint_auth_method}  {one.name}{state}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
