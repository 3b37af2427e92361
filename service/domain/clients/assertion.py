"""Checks the signed assertion of a client (`private_key_jwt`, RFC 7523)."""

from datetime import datetime

from service.domain.clients.model import Client
from service.kernel import jose

LONGEST = 300
"""The longest lifetime of an assertion, in seconds."""

_LEEWAY = 10


_END_OF_TIME = 2**53


class AssertionRefusedError(Exception):
    """The assertion proves nothing.

    The message says why, for the log.  `told` is shown to the client; it is empty until the
    signature is verified.
    """

    def __init__(self, why: str, told: str = "") -> None:
        super().__init__(why)
        self.told = told


def check_assertion(
    client: Client, assertion: str, audience: str, at: datetime
) -> tuple[str, float]:
    """Return `jti` and `exp` of a good assertion; the caller refuses a second use of a `jti`.

    AssertionRefusedError: another's signature, audience or subject, expired, or too long a life.
    """
    if client.jwks is None:
        raise AssertionRefusedError("this client has no keys")
    try:
        claims = jose.read_json(jose.verify_foreign(assertion, client.jwks), dict[str, object])
    except ValueError:
        raise AssertionRefusedError("signature, or no claims") from None
    for name in ("iss", "sub"):
        if claims.get(name) != client.client_id:
            raise _wrong(f"{name} must be the client's id")
    if claims.get("aud") != audience:
        raise _wrong(f"aud must be the issuer, as one string: {audience}")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise _wrong("jti must be a string of its own in each assertion")
    return jti, _check_times(claims, at.timestamp())


def _check_times(claims: dict[str, object], now: float) -> float:
    exp = _moment(claims, "exp")
    if exp is None:
        raise _wrong("exp is missing")
    if exp + _LEEWAY <= now:
        raise _wrong("exp is over")
    if exp > now + LONGEST + _LEEWAY:
        raise _wrong(f"exp must be at most {LONGEST} seconds ahead")
    for name in ("iat", "nbf"):
        if (_moment(claims, name) or 0) > now + _LEEWAY:
            raise _wrong(f"{name} is in the future")
    return exp


def _moment(claims: dict[str, object], name: str) -> float | None:
    """Read a NumericDate, which may have a fraction (RFC 7519 section 2); None when missing."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"{name} must be a number")
    if not 0 <= value < _END_OF_TIME:
        raise _wrong(f"{name} must be seconds since 1970")
    return value


def _wrong(told: str) -> AssertionRefusedError:
    return AssertionRefusedError(told, told)
