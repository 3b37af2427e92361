"""/api-keys: manage an organization's API keys, and verify a key."""

from typing import Annotated, Literal, TypeAlias

from litestar import Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType

from service.domain.apikeys import ApiKey, Why
from service.flows.apikeys.create import NewKey, create_key
from service.flows.apikeys.delete import delete_key
from service.flows.apikeys.issuing import IssuedKey
from service.flows.apikeys.read import list_keys, show_key
from service.flows.apikeys.revoke import revoke_key
from service.flows.apikeys.rotate import LONGEST_OVERLAP, rotate_key
from service.flows.apikeys.verify import verify_key
from service.flows.shared.api_key_check import PATTERN, Checked
from service.http.address import given_address
from service.http.context import FromCaller, RequestContext, provide_administrator, provide_caller
from service.http.field_types import (
    Cursor,
    Id,
    IpAddress,
    Limit,
    Moment,
    Name,
    Network,
    PathId,
    Scope,
)
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import path_id
from service.kernel.ids import ApiKeyId

_LIST = "api-keys"
_WHOLE = (
    "The whole key, `tsk_<public id>_<secret><checksum>`: base62, the checksum is the CRC-32 of all"
    " before it.  Shown this once."
)
Key: TypeAlias = Annotated[str, Meta(description=_WHOLE, pattern=PATTERN)]


class KeyForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to issue.  `owner`: its creator, or the organization.

    `addresses`: the addresses and networks from which it may be used; empty: any.
    """

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=100)]
    expires_at: Moment | None = None
    owner: Literal["person", "organization"] = "person"
    addresses: Annotated[list[Network], Meta(max_length=50)] = []


class RotateForm(Struct, frozen=True, forbid_unknown_fields=True):
    """How many seconds the old key still works, and when the new one expires."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP)] = 0
    expires_at: Moment | None = None


_AT_ONCE = RotateForm()


class VerifyForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that was presented to a service, the scope needed, and the caller's address."""

    key: Annotated[str, Meta(max_length=4096)]
    scope: Scope | None = None
    address: IpAddress | None = None


class KeyAnswer(Struct, frozen=True):
    """A key without its secret.  `owner_id` is null for a key of the organization."""

    id: Id
    prefix: str
    name: str
    scopes: tuple[str, ...]
    owner_id: Id | None
    addresses: tuple[str, ...]
    state: Literal["active", "expired", "revoked"]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    successor_id: Id | None
    last_used_at: Moment | None
    use_count: int


class IssuedAnswer(Struct, frozen=True):
    """A new key, and its full text, shown only once: null when the same request made it before."""

    id: Id
    prefix: str
    name: str
    scopes: tuple[str, ...]
    owner_id: Id | None
    addresses: tuple[str, ...]
    created_at: Moment
    expires_at: Moment | None
    secret: Key | None


class KeysAnswer(Struct, frozen=True):
    """A page of keys, the newest first."""

    items: list[KeyAnswer]
    next_cursor: str | None


class VerifyAnswer(Struct, frozen=True):
    """Whether a key is good; everything but the reason is null when it is not.

    The reason is `unknown` for a key of another organization, otherwise `revoked`, `expired`,
    `disabled`, `address` or `scope`.  For a service of the platform it is `address` or `scope` for
    keys of any organization, and `unknown` for all other reasons.
    """

    valid: bool
    key_id: Id | None = None
    tenant_id: Id | None = None
    scopes: tuple[str, ...] | None = None
    expires_at: Moment | None = None
    reason: Why | UnsetType = UNSET


@post("/", status_code=201)
async def create(context: FromCaller, data: JSONBody[KeyForm]) -> IssuedAnswer:
    """Issue a key.  Its secret is shown only in this answer."""
    new = NewKey(
        name=data.name,
        scopes=tuple(data.scopes),
        expires_at=data.expires_at,
        shared=data.owner == "organization",
        networks=tuple(data.addresses),
    )
    return _issued(await create_key(context.rt, context.call, new))


@get("/")
async def list_page(
    context: FromCaller, limit: FromQuery[Limit] = USUAL, cursor: FromQuery[Cursor | None] = None
) -> KeysAnswer:
    """Return the organization's keys, the newest first; for a member, their own keys."""
    before, most = read_cursor(context.rt, _LIST, cursor), limit
    found = await list_keys(
        context.rt, context.call, None if before is None else ApiKeyId(before), most
    )
    following = next_cursor(context.rt, _LIST, found, most, lambda key: key.key_id)
    return KeysAnswer([_key(context, one) for one in found], following)


@get("/{key_id:str}")
async def show(context: FromCaller, key_id: FromPath[PathId]) -> KeyAnswer:
    """Return a key without its secret."""
    return _key(context, await show_key(context.rt, context.call, _id(key_id)))


@post("/{key_id:str}/revoke", status_code=200)
async def revoke(context: FromCaller, key_id: FromPath[PathId]) -> KeyAnswer:
    """Revoke a key.  It is refused everywhere within a second; its record stays."""
    return _key(context, await revoke_key(context.rt, context.call, _id(key_id)))


@post("/{key_id:str}/rotate", status_code=201)
async def rotate(
    context: FromCaller, key_id: FromPath[PathId], data: JSONBody[RotateForm] = _AT_ONCE
) -> IssuedAnswer:
    """Issue a successor.  The old key works until the overlap ends; without a body: not at all."""
    return _issued(
        await rotate_key(
            context.rt, context.call, _id(key_id), data.overlap_seconds, data.expires_at
        )
    )


@delete("/{key_id:str}", status_code=204)
async def remove(context: FromCaller, key_id: FromPath[PathId]) -> None:
    """Delete a key and its record.  Its events stay."""
    await delete_key(context.rt, context.call, _id(key_id))


@post("/verify", status_code=200, dependencies={"context": Provide(provide_caller)})
async def verify(context: FromCaller, data: JSONBody[VerifyForm]) -> VerifyAnswer:
    """Verify an API key that was presented to a service."""
    address = given_address(data.address)
    return _verdict(
        await verify_key(context.rt, context.call, data.key, scope=data.scope, address=address)
    )


def _verdict(checked: Checked) -> VerifyAnswer:
    key = checked.good
    if key is None:
        return VerifyAnswer(valid=False, reason=checked.why or UNSET)
    return VerifyAnswer(
        valid=True,
        key_id=str(key.key_id),
        tenant_id=str(key.tenant_id),
        scopes=key.scopes,
        expires_at=key.expires_at,
    )


def _key(context: RequestContext, key: ApiKey) -> KeyAnswer:
    state = key.state(context.call.at)
    return KeyAnswer(
        id=str(key.key_id),
        prefix=key.prefix,
        name=key.name,
        scopes=key.scopes,
        owner_id=_text(key.owner_id),
        addresses=key.networks,
        state="active" if state is None else "revoked" if key.revoked_at else "expired",
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        successor_id=_text(key.successor_id),
        last_used_at=key.last_used_at,
        use_count=key.use_count,
    )


def _issued(issued: IssuedKey) -> IssuedAnswer:
    key = issued.key
    return IssuedAnswer(
        id=str(key.key_id),
        prefix=key.prefix,
        name=key.name,
        scopes=key.scopes,
        owner_id=_text(key.owner_id),
        addresses=key.networks,
        created_at=key.created_at,
        expires_at=key.expires_at,
        secret=issued.secret or None,
    )


def _id(text: str) -> ApiKeyId:
    return ApiKeyId(path_id(text))


def _text(found: object | None) -> str | None:
    return None if found is None else str(found)


router = Router(
    "/api-keys",
    route_handlers=[create, list_page, verify, show, revoke, rotate, remove],
    dependencies={"context": Provide(provide_administrator)},
)
