"""/admin/clients: the services of an organization.

`?tenant_id=` is for platform administrators, who may act in another's organization;
`?tenant_id=platform` names the services that belong to none.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from litestar import Response, Router, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from service.domain.clients import Client
from service.flows.clients import administer as clients
from service.flows.shared.new_client import NewClient
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import (
    ClientId,
    Cursor,
    Id,
    IdOrPlatform,
    Limit,
    Line,
    Member,
    Moment,
    Name,
    Scope,
)
from service.http.paging import USUAL, next_cursor, read_name_cursor
from service.http.path_parameters import organization
from service.kernel.ids import TenantId

_LIST = "clients"

Jwk: TypeAlias = Annotated[dict[Line, Member], Meta(max_length=20)]


class KeySetForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Public keys (RFC 7517): a client with keys signs assertions and has no secret."""

    keys: Annotated[list[Jwk], Meta(min_length=1, max_length=20)]


class ClientForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A client to create."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=100)]
    jwks: KeySetForm | None = None


class RotateSecretForm(Struct, frozen=True, forbid_unknown_fields=True):
    """How many seconds the old secret still works: 0, or one minute to 7 days."""

    overlap_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=clients.LONGEST_OVERLAP,
            description=clients.OVERLAPS,
            extra_json_schema={"anyOf": [{"const": 0}, {"minimum": clients.SHORTEST_OVERLAP}]},
        ),
    ] = 0


_AT_ONCE = RotateSecretForm()


class ClientAnswer(Struct, frozen=True):
    """A service, without its secret.  `tenant_id` is null for one of the platform."""

    client_id: str
    tenant_id: Id | None
    name: str
    scopes: tuple[str, ...]
    proves_itself_by: Literal["secret", "keys", "nothing"]
    created_at: Moment
    disabled_at: Moment | None
    old_secret_until: Moment | None


class CreatedAnswer(Struct, frozen=True):
    """A new service; `client_secret` is shown this once.

    Null for a client with keys, and when the same request made it before.
    """

    client_id: str
    client_secret: str | None
    tenant_id: Id | None
    name: str
    scopes: tuple[str, ...]
    created_at: Moment


class RotatedAnswer(Struct, frozen=True):
    """A new secret, shown only this once."""

    client_id: str
    client_secret: str


class ClientsAnswer(Struct, frozen=True):
    """A page of clients."""

    items: list[ClientAnswer]
    next_cursor: str | None


@get("/clients")
async def list_all(
    context: FromCaller,
    tenant_id: FromQuery[IdOrPlatform | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> ClientsAnswer:
    """List the services of an organization."""
    most, after = limit, read_name_cursor(context.rt, _LIST, cursor)
    there = organization(tenant_id)
    found = await clients.list_clients(context.rt, context.call, there, after, most)
    return ClientsAnswer(
        [_client(one) for one in found],
        next_cursor(context.rt, _LIST, found, most, lambda one: one.client_id),
    )


@get("/clients/{client_id:str}")
async def read(context: FromCaller, client_id: FromPath[ClientId]) -> ClientAnswer:
    """Return a client."""
    return _client(await clients.read_client(context.rt, context.call, client_id))


@post("/clients", status_code=201)
async def create(
    context: FromCaller,
    data: JSONBody[ClientForm],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> Response[CreatedAnswer]:
    """Create a service; its secret is shown this once."""
    new = NewClient(
        name=data.name,
        scopes=tuple(data.scopes),
        jwks=None if data.jwks is None else msgspec.json.encode(data.jwks).decode(),
    )
    there = organization(tenant_id)
    made = await clients.create(context.rt, context.call, there, new)
    client = made.client
    answer = CreatedAnswer(
        client_id=client.client_id,
        client_secret=made.secret,
        tenant_id=_text(client.tenant_id),
        name=client.name,
        scopes=client.scopes,
        created_at=client.created_at,
    )
    return Response(answer, status_code=201)


@post("/clients/{client_id:str}/disable", status_code=204)
async def disable(context: FromCaller, client_id: FromPath[ClientId]) -> None:
    """Disable a service: its tokens die everywhere within a second."""
    await clients.disable(context.rt, context.call, client_id)


@post("/clients/{client_id:str}/enable", status_code=204)
async def enable(context: FromCaller, client_id: FromPath[ClientId]) -> None:
    """Enable a client again."""
    await clients.enable(context.rt, context.call, client_id)


@post("/clients/{client_id:str}/rotate-secret", status_code=200)
async def rotate(
    context: FromCaller, client_id: FromPath[ClientId], data: JSONBody[RotateSecretForm] = _AT_ONCE
) -> RotatedAnswer:
    """Give a client a new secret.  Without an overlap, the tokens of the old one are revoked."""
    secret = await clients.rotate_secret(context.rt, context.call, client_id, data.overlap_seconds)
    return RotatedAnswer(client_id, secret)


def _text(tenant_id: TenantId | None) -> str | None:
    return str(tenant_id) if tenant_id else None


def _client(one: Client) -> ClientAnswer:
    return ClientAnswer(
        client_id=one.client_id,
        tenant_id=_text(one.tenant_id),
        name=one.name,
        scopes=one.scopes,
        proves_itself_by="secret" if one.secret_mac else "keys" if one.jwks else "nothing",
        created_at=one.created_at,
        disabled_at=one.disabled_at,
        old_secret_until=one.previous_until,
    )


router = Router(
    "/admin",
    route_handlers=[list_all, read, create, disable, enable, rotate],
    dependencies={"context": Provide(provide_administrator)},
)
