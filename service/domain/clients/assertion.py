"""A client that proves itself with a signed assertion (`private_key_jwt`, RFC 7523)."""

from datetime import datetime

from msgspec import Struct

from service.domain.clients.model import Client
from service.kernel import jose

LONGEST = 300
"""Seconds an assertion may live."""

_LEEWAY = 10


class AssertionRefusedError(Exception):
    """The assertion proves nothing.  The message says why, for the log."""


class _Claims(Struct, frozen=True):
    iss: str
    sub: str
    aud: str
    exp: int
    jti: str
    iat: int | None = None
    nbf: int | None = None


def check_assertion(client: Client, assertion: str, audience: str, at: datetime) -> tuple[str, int]:
    """Return `jti` and `exp` of a genuine assertion; the caller refuses a second use of a `jti`.

    AssertionRefusedError: another's signature, audience or subject, expired, or too long a life.
    """
    if client.jwks is None:
        raise AssertionRefusedError("this client has no keys")
    try:
        claims = jose.read_json(jose.verify_foreign(assertion, client.jwks), _Claims)
    except ValueError:
        raise AssertionRefusedError("signature or claims") from None
    now = at.timestamp()
    if claims.iss != client.client_id or claims.sub != client.client_id:
        raise AssertionRefusedError("of another client")
    if claims.aud != audience:
        raise AssertionRefusedError("for another audience")
    if claims.exp + _LEEWAY <= now or claims.exp > now + LONGEST + _LEEWAY:
        raise AssertionRefusedError("expired, or too long a life")
    if max(claims.iat or 0, claims.nbf or 0) > now + _LEEWAY:
        raise AssertionRefusedError("from the future")
    return claims.jti, claims.exp
