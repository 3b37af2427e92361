"""Authenticate an OAuth client: by its secret or a signed assertion; a public one by its id."""

import hashlib

from msgspec import Struct

from service.domain import clients
from service.domain.clients import AssertionRefusedError, Client
from service.domain.keyring import Usage
from service.flows.shared import limiting
from service.flows.shared.known_client import find_client
from service.kernel import jose
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 section 2.2."""


_IDENTIFY = "HTTP Basic, client_id and client_secret, or client_assertion"
_BAD_SECRET = "the client is unknown or disabled, or its secret is another"  # noqa: S105 - a text
_BAD_SIGNATURE = (
    "the client is unknown or disabled, or none of its keys signed the assertion: alg must be"
    f" one of {', '.join(jose.FOREIGN_ALGORITHMS)}, and kid must name one of several keys"
)
"""Shown until a client is authenticated, so that unknown clients get the same text."""


class ClientCredentials(Struct, frozen=True):
    """How a client identifies itself: exactly one way (RFC 6749 section 2.3).

    A public client sends only its `client_id`.
    """

    client_id: str | None = None
    secret: str | None = None
    assertion: str | None = None


class _Claimed(Struct, frozen=True):
    sub: str


async def authenticate_client(
    rt: Runtime, call: Call, presented: ClientCredentials, *, public: bool = False
) -> Client:
    """Return the client, usually without a query.

    `public` allows a public client, which is not authenticated.
    Refused: INVALID_CLIENT, which says what to change and does not reveal whether a client exists;
    TOO_MANY for many failures from one address; UNAVAILABLE.
    """
    try:
        return await _authenticate(rt, call, presented, public=public)
    except Refused as refused:
        if refused.reason is Reason.INVALID_CLIENT:
            await limiting.spend_address(rt, call, "client", rt.policy.limits.client_failures)
        raise


async def _authenticate(
    rt: Runtime, call: Call, presented: ClientCredentials, *, public: bool
) -> Client:
    if presented.assertion is not None:
        return await _by_assertion(rt, call, presented)
    if presented.client_id is None or (presented.secret is None and not public):
        raise _no("no credentials", f"identify the client: {_IDENTIFY}")
    if presented.secret is None:
        return await _by_id(rt, call, presented.client_id)
    client = await find_client(rt, call, presented.client_id)
    key = rt.keyring.derived(Usage.CLIENT)
    if client is None or client.secret_mac is None:
        clients.secret_mac(key, presented.secret)  # an unknown client costs what a known one does
        raise _no("unknown client", _BAD_SECRET)
    if client.has_secret(key, presented.secret, call.at):
        return client
    again = await find_client(rt, call, presented.client_id, doubtful=True)
    if again is None or not again.has_secret(key, presented.secret, call.at):
        raise _no("wrong secret", _BAD_SECRET)
    return again


async def _by_id(rt: Runtime, call: Call, client_id: str) -> Client:
    client = await find_client(rt, call, client_id)
    if client is None or not client.public:
        raise _no(
            "not a public client",
            f"the client is unknown or disabled, or it must identify itself: {_IDENTIFY}",
        )
    return client


async def _by_assertion(rt: Runtime, call: Call, presented: ClientCredentials) -> Client:
    assertion = presented.assertion or ""
    claimed = presented.client_id or _claimed_id(assertion)
    client = await find_client(rt, call, claimed)
    if client is None:
        raise _no("unknown client", _BAD_SIGNATURE)
    # `aud` must be exactly the issuer: a malicious server could make a client sign an assertion for
    # an endpoint's address.
    issuer = rt.settings.issuer
    try:
        jti, exp = clients.check_assertion(client, assertion, issuer, call.at)
    except AssertionRefusedError as exc:
        again = None if exc.told else await find_client(rt, call, claimed, doubtful=True)
        if again is None or again == client:
            raise _no(f"assertion: {exc}", exc.told or _BAD_SIGNATURE) from None
        client = again  # a key may have been added
        try:
            jti, exp = clients.check_assertion(client, assertion, issuer, call.at)
        except AssertionRefusedError as still:
            raise _no(f"assertion: {still}", still.told or _BAD_SIGNATURE) from None
    left = int(exp - call.at.timestamp()) + 30
    once = hashlib.sha256(f"{client.client_id}:{jti}".encode()).hexdigest()
    if not await rt.assertions.use(once, left):
        raise _no(
            "assertion used twice",
            "jti was used before: each request needs an assertion of its own",
        )
    return client


def _claimed_id(assertion: str) -> str:
    """Return the client id that an unverified assertion claims.  Its signature is checked later."""
    try:
        return jose.read_json(jose.decode(assertion.split(".")[1]), _Claimed).sub
    except (ValueError, IndexError):
        raise _no(
            "assertion: no subject", "client_assertion must be a JWT whose sub is the client's id"
        ) from None


def _no(private: str, public: str) -> Refused:
    return Refused(Reason.INVALID_CLIENT, public, private=f"client: {private}")
