"""The claims of a verified access token (RFC 9068 section 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tesserra_verifier.errors import InsufficientScopeError, InvalidTokenError

_END_OF_TIME = 2**53


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified token.  Times are in seconds since 1970."""

    iss: str
    sub: str
    aud: tuple[str, ...]
    exp: float
    iat: float
    jti: str
    client_id: str
    kid: str
    """The key that signed it, from the header."""
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    amr: tuple[str, ...]
    sid: str | None
    tenant_id: str | None
    akid: str | None
    """The API key it was exchanged for, if any."""
    auth_time: float | None
    nbf: float | None
    payload: Mapping[str, Any]
    """All claims, as they were signed."""

    def require(self, *scopes: str) -> None:
        """Raise InsufficientScopeError unless the token has all these scopes."""
        if not set(scopes) <= set(self.scopes):
            raise InsufficientScopeError(*scopes)


def read(payload: Mapping[str, Any], kid: str, issuer: str, audience: str) -> Claims:
    """Read the claims of a payload whose signature is good.

    InvalidTokenError when a claim is missing or of a wrong type, when the token was made by another
    issuer or for another audience, or when it is bound to a key (`cnf`, RFC 7800).
    """
    aud = (
        _texts(payload, "aud") if isinstance(payload.get("aud"), list) else (_text(payload, "aud"),)
    )
    claims = Claims(
        iss=_text(payload, "iss"),
        sub=_text(payload, "sub"),
        aud=aud,
        exp=_moment(payload, "exp"),
        iat=_moment(payload, "iat"),
        jti=_text(payload, "jti"),
        client_id=_text(payload, "client_id"),
        kid=kid,
        scopes=tuple(_text(payload, "scope").split()) if "scope" in payload else (),
        roles=_texts(payload, "roles"),
        amr=_texts(payload, "amr"),
        sid=_text(payload, "sid") if "sid" in payload else None,
        tenant_id=_text(payload, "tenant_id") if "tenant_id" in payload else None,
        akid=_text(payload, "akid") if "akid" in payload else None,
        auth_time=_moment(payload, "auth_time") if "auth_time" in payload else None,
        nbf=_moment(payload, "nbf") if "nbf" in payload else None,
        payload=payload,
    )
    if claims.iss != issuer:
        raise InvalidTokenError("claims", "iss")
    if audience not in claims.aud:
        raise InvalidTokenError("claims", "aud")
    if "cnf" in payload:
        raise InvalidTokenError("bound", _binding(payload["cnf"]))
    return claims


def _binding(cnf: object) -> str:
    """Say why a token with `cnf` is refused, whatever is in it.

    Only who holds the key may use such a token (RFC 7800 section 3, RFC 8705 section 3, RFC 9449
    section 7.1).  This library checks no proof of that, so to it the token may be a stolen one.
    """
    if not isinstance(cnf, Mapping):
        return "cnf is not an object"
    named = " ".join(sorted(cnf)) or "nothing"
    return f"cnf names {named}, and no proof of possession is checked here"


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise InvalidTokenError("claims", name)
    return value


def _texts(payload: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = payload.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidTokenError("claims", name)
    return tuple(values)


def _moment(payload: Mapping[str, Any], name: str) -> float:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError("claims", name)
    if not 0 <= value < _END_OF_TIME:  # nor NaN
        raise InvalidTokenError("claims", name)
    return value
