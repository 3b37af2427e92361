"""New clients: shared by administrators and the operator."""

import secrets

from msgspec import Struct

from service.domain import audit, clients
from service.domain.audit import events
from service.domain.clients import AuthMethod, Client, GrantType
from service.domain.keyring import Usage
from service.flows.shared.naming import check_known, check_name, client_scopes
from service.kernel import jose
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import check_all, wrong
from service.kernel.sql import Tx
from service.runtime import Runtime


class NewClient(Struct, frozen=True, kw_only=True):
    """A service.  `jwks`, its public keys as JSON, makes it sign assertions and have no secret."""

    name: str
    scopes: tuple[str, ...]
    jwks: str | None = None


class Created(Struct, frozen=True):
    """The client and, this once, its secret; None for one with keys, and when the same request made
    it before.
    """

    client: Client
    secret: str | None


async def insert_client(
    rt: Runtime, call: Call, tx: Tx, new: NewClient, tenant_id: TenantId | None
) -> Created:
    """Add a client.  Call `check_client` before."""
    secret = None if new.jwks is not None else clients.new_secret()
    key = rt.keyring.derived(Usage.CLIENT)
    client = Client(
        client_id=f"svc_{secrets.token_hex(10)}",
        tenant_id=tenant_id,
        name=new.name,
        scopes=tuple(dict.fromkeys(new.scopes)),
        secret_mac=clients.secret_mac(key, secret) if secret else None,
        jwks=new.jwks,
        created_at=call.at,
        disabled_at=None,
        token_endpoint_auth_method=(
            AuthMethod.PRIVATE_KEY_JWT if new.jwks is not None else AuthMethod.SECRET_BASIC
        ),
        grant_types=(GrantType.CLIENT_CREDENTIALS,),
    )
    await clients.insert(tx, client)
    created = events.ClientCreated(
        tenant_id=tenant_id, client_id=client.client_id, scopes=client.scopes
    )
    await audit.record(tx, call, created)
    return Created(client, secret)


def check_client(rt: Runtime, new: NewClient, *, of_platform: bool) -> None:
    """Check a new client, of the platform or of an organization.  Refused(INVALID_REQUEST)."""
    check_all(
        lambda: check_name(new.name),
        lambda: check_known(new.scopes, client_scopes(rt, of_platform=of_platform)),
        lambda: _check_keys(new.jwks),
    )


def _check_keys(jwks: str | None) -> None:
    if jwks is not None and not jose.is_public_set(jwks):
        raise wrong("jwks", "must be a JWK set of 1 to 20 public keys (RFC 7517), none private")
