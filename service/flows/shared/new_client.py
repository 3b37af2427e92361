"""The fields of a client, their defaults and their checks, and adding a client."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from service.domain import audit, clients
from service.domain.audit import events
from service.domain.clients import (
    AuthMethod,
    Client,
    GrantType,
    IdTokenAlgorithm,
    Profile,
    uris,
)
from service.domain.keyring import Usage
from service.flows.shared.naming import check_known, check_name, client_scopes
from service.kernel import jose
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Fault, check_all, faulty, wrong
from service.kernel.sql import Tx
from service.runtime import Runtime

LONGEST_URI, MOST_URIS = uris.LONGEST_URI, uris.MOST_URIS


class ClientFields(Struct, frozen=True, kw_only=True):
    """The fields of a client that a caller may give.

    One that is left out has its default in a new client, and does not change in an old one.  The
    names are those of RFC 7591 section 2, where it has one.  `jwks`: its public keys, as JSON.
    """

    name: str | UnsetType = UNSET
    scopes: tuple[str, ...] | UnsetType = UNSET
    jwks: str | UnsetType | None = UNSET
    token_endpoint_auth_method: AuthMethod | UnsetType = UNSET
    grant_types: tuple[GrantType, ...] | UnsetType = UNSET
    redirect_uris: tuple[str, ...] | UnsetType = UNSET
    post_logout_redirect_uris: tuple[str, ...] | UnsetType = UNSET
    origins: tuple[str, ...] | UnsetType = UNSET
    first_party: bool | UnsetType = UNSET
    require_pkce: bool | UnsetType = UNSET
    profile: Profile | UnsetType | None = UNSET
    id_token_signed_response_alg: IdTokenAlgorithm | UnsetType = UNSET
    backchannel_logout_uri: str | UnsetType | None = UNSET
    publisher: str | UnsetType | None = UNSET
    logo_uri: str | UnsetType | None = UNSET
    policy_uri: str | UnsetType | None = UNSET
    tos_uri: str | UnsetType | None = UNSET

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, each value of a list once."""
        return {
            name: tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not UNSET
        }


class NewClient(ClientFields, frozen=True, kw_only=True):
    """The fields of a client to create.

    Without `token_endpoint_auth_method`, a client with `jwks` has private_key_jwt, and any other
    client_secret_basic.  Without `grant_types`, a client with `redirect_uris` has
    authorization_code and refresh_token, another public client refresh_token, and another
    confidential client client_credentials.
    """

    name: str

    def client(self, call: Call, tenant_id: TenantId | None) -> Client:
        """Return the client, without a secret."""
        given = self.given()
        method = given.get("token_endpoint_auth_method") or (
            AuthMethod.PRIVATE_KEY_JWT if given.get("jwks") else AuthMethod.SECRET_BASIC
        )
        usual = Client(
            client_id=f"svc_{secrets.token_hex(10)}",
            tenant_id=tenant_id,
            name=self.name,
            scopes=(),
            secret_mac=None,
            jwks=None,
            created_at=call.at,
            disabled_at=None,
            token_endpoint_auth_method=method,
            grant_types=_usual_grants(method, given.get("redirect_uris", ())),
        )
        return replace(usual, **given)


class Created(Struct, frozen=True):
    """A new client and its secret, which is shown only once.

    None for a client without a secret, and when the same request already made it.
    """

    client: Client
    secret: str | None


async def insert_client(
    rt: Runtime, call: Call, tx: Tx, new: NewClient, tenant_id: TenantId | None
) -> Created:
    """Add a client that `check_new` has checked."""
    client = new.client(call, tenant_id)
    secret = clients.new_secret() if client.has_own_secret else None
    client = replace(client, secret_mac=secret_mac(rt, secret) if secret else None)
    await clients.insert(tx, client)
    created = events.ClientCreated(
        tenant_id=client.tenant_id, client_id=client.client_id, scopes=client.scopes
    )
    await audit.record(tx, call, created)
    return Created(client, secret)


def secret_mac(rt: Runtime, secret: str) -> bytes:
    """Return what is stored of a secret."""
    return clients.secret_mac(rt.keyring.derived(Usage.CLIENT), secret)


def check_new(rt: Runtime, call: Call, new: NewClient, *, of_platform: bool) -> Client:
    """Check a new client and return what it will be.  Refused(INVALID_REQUEST)."""
    client = new.client(call, None)
    check_client(rt, client, of_platform=of_platform)
    return client


def check_client(rt: Runtime, client: Client, *, of_platform: bool) -> None:
    """Check a client, of the platform or of an organization.

    Refused(INVALID_REQUEST) with all its faults.
    """
    check_all(
        lambda: check_name(client.name),
        lambda: check_name("-" if client.publisher is None else client.publisher, "publisher"),
        lambda: _check_scopes(rt, client, of_platform=of_platform),
        lambda: _check_keys(client),
        lambda: _refuse(_grant_faults(client)),
        lambda: _refuse(_uri_faults(client)),
        lambda: _refuse(_rule_faults(client)),
    )


def _usual_grants(method: AuthMethod, redirect_uris: object) -> tuple[GrantType, ...]:
    if redirect_uris:
        return (GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN)
    if method is AuthMethod.NONE:
        return (GrantType.REFRESH_TOKEN,)
    return (GrantType.CLIENT_CREDENTIALS,)


def _check_scopes(rt: Runtime, client: Client, *, of_platform: bool) -> None:
    """Check the scopes; a client without client_credentials may have none."""
    if client.scopes or GrantType.CLIENT_CREDENTIALS in client.grant_types:
        check_known(client.scopes, client_scopes(rt, of_platform=of_platform))


def _check_keys(client: Client) -> None:
    signs = client.token_endpoint_auth_method is AuthMethod.PRIVATE_KEY_JWT
    if client.jwks is None and not signs:
        return
    if client.jwks is None or not signs:
        raise wrong("jwks", "must be given with private_key_jwt, and with nothing else")
    if not jose.is_public_set(client.jwks):
        raise wrong("jwks", "must be a JWK set of 1 to 20 public keys (RFC 7517), none private")
    kids = [one["kid"] for one in msgspec.json.decode(client.jwks)["keys"] if "kid" in one]
    if len(kids) != len({*kids}):
        raise wrong("jwks", "must give each key a kid of its own")


def _grant_faults(client: Client) -> Iterator[Fault]:
    if not client.grant_types:
        yield Fault("#/grant_types", f"must be at least one of: {', '.join(GrantType)}")
    if client.public and GrantType.CLIENT_CREDENTIALS in client.grant_types:
        yield Fault(
            "#/grant_types", "must not have client_credentials: a public client proves nothing"
        )
    if GrantType.AUTHORIZATION_CODE in client.grant_types and not client.redirect_uris:
        yield Fault("#/redirect_uris", "must have at least one for authorization_code")


def _uri_faults(client: Client) -> Iterator[Fault]:
    told = uris.NATIVE if client.public else uris.REDIRECT

    def is_redirect(uri: str) -> bool:
        return uris.is_redirect(uri, native=client.public)

    yield from _each("redirect_uris", client.redirect_uris, is_redirect, told)
    back = client.post_logout_redirect_uris
    yield from _each("post_logout_redirect_uris", back, is_redirect, told)
    yield from _each("origins", client.origins, uris.is_origin, uris.ORIGIN)
    if client.backchannel_logout_uri is not None and not uris.is_web(client.backchannel_logout_uri):
        yield Fault("#/backchannel_logout_uri", uris.BACKCHANNEL)
    for name in ("logo_uri", "policy_uri", "tos_uri"):
        uri = getattr(client, name)
        if uri is not None and not uris.is_https(uri):
            yield Fault(f"#/{name}", uris.PAGE)


def _each(
    name: str, given: tuple[str, ...], is_good: Callable[[str], bool], told: str
) -> Iterator[Fault]:
    if len(given) > uris.MOST_URIS:
        yield Fault(f"#/{name}", f"must be at most {uris.MOST_URIS}")
    for place, uri in enumerate(given[: uris.MOST_URIS]):
        if not is_good(uri):
            yield Fault(f"#/{name}/{place}", told)


def _rule_faults(client: Client) -> Iterator[Fault]:
    if client.public and not client.require_pkce:
        yield Fault("#/require_pkce", "must be true for a public client")
    signs = client.token_endpoint_auth_method is AuthMethod.PRIVATE_KEY_JWT
    if client.profile is not None and not (signs and client.require_pkce):
        yield Fault("#/profile", "fapi2 goes with private_key_jwt and require_pkce alone")


def _refuse(faults: Iterator[Fault]) -> None:
    found = tuple(faults)
    if found:
        raise faulty(found)
