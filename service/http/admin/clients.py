"""/admin/clients: the applications and services of an organization.

`?tenant_id=` is for platform administrators, who may act in another's organization;
`?tenant_id=platform` names those that belong to none.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType

from service.domain.clients import (
    AuthMethod,
    Client,
    GrantType,
    IdTokenAlgorithm,
    Profile,
)
from service.flows.clients import administer as clients
from service.flows.shared.new_client import MOST_URIS, ClientFields, NewClient
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
    Uri,
)
from service.http.paging import USUAL, next_cursor, read_name_cursor
from service.http.path_parameters import organization

_LIST = "clients"

Jwk: TypeAlias = Annotated[dict[Line, Member], Meta(max_length=20)]


class KeySetForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Public keys (RFC 7517): a client with keys signs assertions and has no secret."""

    keys: Annotated[list[Jwk], Meta(min_length=1, max_length=20)]


Uris: TypeAlias = Annotated[list[Uri], Meta(max_length=MOST_URIS)]


class _Fields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scopes: Annotated[list[Scope], Meta(max_length=100)] | UnsetType = UNSET
    jwks: KeySetForm | UnsetType | None = UNSET
    token_endpoint_auth_method: AuthMethod | UnsetType = UNSET
    grant_types: Annotated[list[GrantType], Meta(min_length=1, max_length=10)] | UnsetType = UNSET
    redirect_uris: Uris | UnsetType = UNSET
    post_logout_redirect_uris: Uris | UnsetType = UNSET
    origins: Uris | UnsetType = UNSET
    first_party: bool | UnsetType = UNSET
    require_pkce: bool | UnsetType = UNSET
    profile: Profile | UnsetType | None = UNSET
    id_token_signed_response_alg: IdTokenAlgorithm | UnsetType = UNSET
    backchannel_logout_uri: Uri | UnsetType | None = UNSET
    publisher: Name | UnsetType | None = UNSET
    logo_uri: Uri | UnsetType | None = UNSET
    policy_uri: Uri | UnsetType | None = UNSET
    tos_uri: Uri | UnsetType | None = UNSET

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, as the flows take them."""
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }
        if given.get("jwks") is not None:
            given["jwks"] = msgspec.json.encode(given["jwks"]).decode()
        return given


class ClientForm(_Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client to create.

    By default it is a service with a secret. `jwks` makes it authenticate by signed assertions
    (private_key_jwt). `token_endpoint_auth_method: none` makes it a public client.

    The authorization code flow is being built. These are checked, and kept for it: `redirect_uris`,
    `post_logout_redirect_uris`, `origins`, `require_pkce`, `profile`,
    `id_token_signed_response_alg`, `backchannel_logout_uri`, `publisher`, `logo_uri`, `policy_uri`
    and `tos_uri`.
    """

    name: Name


class ClientChangeForm(_Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change. A field that is left out does not change. null removes a value.

    The authorization code flow is being built. These are checked, and kept for it: `redirect_uris`,
    `post_logout_redirect_uris`, `origins`, `require_pkce`, `profile`,
    `id_token_signed_response_alg`, `backchannel_logout_uri`, `publisher`, `logo_uri`, `policy_uri`
    and `tos_uri`.
    """

    name: Name | UnsetType = UNSET


_UNCHANGED = ClientChangeForm()


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


class ClientAnswer(Struct, frozen=True, kw_only=True):
    """A client, without its secret.  `tenant_id` is null for one of the platform."""

    client_id: str
    tenant_id: Id | None
    name: str
    scopes: tuple[str, ...]
    proves_itself_by: Literal["secret", "keys", "nothing"]
    created_at: Moment
    disabled_at: Moment | None
    old_secret_until: Moment | None
    jwks: KeySetForm | None
    token_endpoint_auth_method: AuthMethod
    grant_types: tuple[GrantType, ...]
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    origins: tuple[str, ...]
    first_party: bool
    require_pkce: bool
    profile: Profile | None
    id_token_signed_response_alg: IdTokenAlgorithm
    backchannel_logout_uri: str | None
    publisher: str | None
    logo_uri: str | None
    policy_uri: str | None
    tos_uri: str | None


class CreatedAnswer(ClientAnswer, frozen=True, kw_only=True):
    """A new client; `client_secret` is shown this once.

    Null for one without a secret, and when the same request made it before.
    """

    client_secret: str | None


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
    """List the clients of an organization."""
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
    """Create a client; its secret is shown this once."""
    new, there = NewClient(**data.given()), organization(tenant_id)
    made = await clients.create(context.rt, context.call, there, new)
    answer = CreatedAnswer(**_told(made.client), client_secret=made.secret)
    return Response(answer, status_code=201)


@patch("/clients/{client_id:str}")
async def change(
    context: FromCaller,
    client_id: FromPath[ClientId],
    data: JSONBody[ClientChangeForm] = _UNCHANGED,
) -> ClientAnswer:
    """Change a client: the tokens of one that may do less than before die everywhere."""
    fields = ClientFields(**data.given())
    return _client(await clients.change(context.rt, context.call, client_id, fields))


@delete("/clients/{client_id:str}", status_code=204)
async def remove(context: FromCaller, client_id: FromPath[ClientId]) -> None:
    """Delete a client: its sessions end, and its tokens die everywhere within a second."""
    await clients.delete(context.rt, context.call, client_id)


@post("/clients/{client_id:str}/disable", status_code=204)
async def disable(context: FromCaller, client_id: FromPath[ClientId]) -> None:
    """Disable a client: its tokens die everywhere within a second."""
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


def _client(one: Client) -> ClientAnswer:
    return ClientAnswer(**_told(one))


def _told(one: Client) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ClientFields.__struct_fields__} | {
        "client_id": one.client_id,
        "tenant_id": str(one.tenant_id) if one.tenant_id else None,
        "proves_itself_by": "secret" if one.secret_mac else "keys" if one.jwks else "nothing",
        "created_at": one.created_at,
        "disabled_at": one.disabled_at,
        "old_secret_until": one.previous_until,
        "jwks": msgspec.json.decode(one.jwks, type=KeySetForm) if one.jwks else None,
    }


router = Router(
    "/admin",
    route_handlers=[list_all, read, create, change, remove, disable, enable, rotate],
    dependencies={"context": Provide(provide_administrator)},
)
