"""Give a service a name, a secret and scopes."""

import secrets

import msgspec
from msgspec import Struct

from service.domain import audit, clients
from service.domain.audit import events
from service.domain.clients import Client
from service.domain.keyring import Usage
from service.flows.people.create_user import find_organization
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.policy import SERVICE_SCOPES
from service.runtime import Runtime

_LONGEST_NAME = 200
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


class NewClient(Struct, frozen=True, kw_only=True):
    """A service.  `jwks`, its public keys as JSON, makes it sign assertions and have no secret."""

    name: str
    scopes: tuple[str, ...]
    organization: str | None = None
    jwks: str | None = None


class Created(Struct, frozen=True):
    """The client and, this once, its secret."""

    client: Client
    secret: str | None


async def create_client(rt: Runtime, call: Call, new: NewClient) -> Created:
    """Create it.  Refused: INVALID_REQUEST; NOT_FOUND when there is no such organization."""
    _check(rt, new)
    async with rt.pg.decision() as tx:
        return await insert_client(rt, call, tx, new)


async def insert_client(rt: Runtime, call: Call, tx: Tx, new: NewClient) -> Created:
    """Add a client that was checked.  Refused(NOT_FOUND) when there is no such organization."""
    secret = None if new.jwks is not None else clients.new_secret()
    key = rt.keyring.derived(Usage.CLIENT)
    organization = await find_organization(tx, new.organization)
    client = Client(
        client_id=f"svc_{secrets.token_hex(10)}",
        tenant_id=organization.tenant_id if organization else None,
        name=new.name,
        scopes=tuple(dict.fromkeys(new.scopes)),
        secret_mac=clients.secret_mac(key, secret) if secret else None,
        jwks=new.jwks,
        created_at=call.at,
        disabled_at=None,
    )
    await clients.insert(tx, client)
    await audit.record(
        tx,
        call,
        events.ClientCreated(
            tenant_id=client.tenant_id, client_id=client.client_id, scopes=client.scopes
        ),
    )
    return Created(client, secret)


def _check(rt: Runtime, new: NewClient) -> None:
    if not 1 <= len(new.name) <= _LONGEST_NAME or not new.name.isprintable():
        raise Refused(
            Reason.INVALID_REQUEST, "a name has 1 to 200 printable characters", fields=("name",)
        )
    known = {*rt.policy.scopes, *SERVICE_SCOPES}
    if not new.scopes or not set(new.scopes) <= known:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"at least one scope, of: {', '.join(sorted(known))}",
            fields=("scope",),
        )
    if new.jwks is not None and not _public_keys(new.jwks):
        raise Refused(
            Reason.INVALID_REQUEST, "a JWK set of public keys is expected", fields=("jwks",)
        )


def _public_keys(jwks: str) -> bool:
    try:
        keys = msgspec.json.decode(jwks, type=dict[str, list[dict[str, str]]])["keys"]
    except (msgspec.MsgspecError, KeyError):
        return False
    return bool(keys) and not any(_PRIVATE_MEMBERS & key.keys() for key in keys)
