"""/admin/signing-keys: for platform administrators."""

from datetime import datetime

from litestar import Response, Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from service.domain.keyring import Described, State
from service.flows.keys.kill import kill_key
from service.flows.keys.read import list_keys
from service.flows.keys.rotate import rotate_keys
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import KeyId, Moment
from service.kernel.jose import Algorithm


class SigningKeyRecord(Struct, frozen=True):
    """A signing key and the times at which its state changes, without private key material."""

    kid: str
    algorithm: Algorithm
    state: State
    created_at: Moment
    activates_at: Moment
    retires_at: Moment | None
    removes_at: Moment | None
    killed_at: Moment | None


class SigningKeysAnswer(Struct, frozen=True):
    """All signing keys."""

    items: list[SigningKeyRecord]
    next_cursor: str | None = None


class RotateKeyForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The algorithm whose next key is published; without it that of access tokens."""

    algorithm: Algorithm | None = None


_OF_ACCESS_TOKENS = RotateKeyForm()


@get("/signing-keys")
async def read(context: FromCaller) -> SigningKeysAnswer:
    """List the signing keys, the newest first."""
    found = await list_keys(context.rt, context.call)
    return SigningKeysAnswer([_record(key, context.call.at) for key in found])


@post("/signing-keys", status_code=201)
async def rotate(
    context: FromCaller, data: JSONBody[RotateKeyForm] = _OF_ACCESS_TOKENS
) -> Response[SigningKeyRecord]:
    """Publish the next key of an algorithm.  It signs after the time that the policy sets."""
    made = await rotate_keys(context.rt, context.call, data.algorithm)
    return Response(_record(made, context.call.at), status_code=201)


@delete("/signing-keys/{kid:str}", status_code=204)
async def kill(context: FromCaller, kid: FromPath[KeyId]) -> None:
    """Kill a key: every token of it is refused.

    If it was the active key of an algorithm in use, a new key signs at once.
    """
    await kill_key(context.rt, context.call, kid)


def _record(key: Described, at: datetime) -> SigningKeyRecord:
    return SigningKeyRecord(
        kid=key.kid,
        algorithm=key.algorithm,
        state=key.state(at),
        created_at=key.created_at,
        activates_at=key.activates_at,
        retires_at=key.retires_at,
        removes_at=key.removes_at,
        killed_at=key.killed_at,
    )


router = Router(
    "/admin",
    route_handlers=[read, rotate, kill],
    dependencies={"context": Provide(provide_administrator)},
)
