"""The claims of a token."""

from typing import Any

from msgspec import UNSET, Struct


class Claims(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of an access token (RFC 9068 section 2.2), times in seconds since 1970."""

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str
    client_id: str
    scope: str
    kid: str = ""
    """The `kid` of the header; verification fills it in.  It is never in the payload."""
    sid: str | None = None
    tenant_id: str | None = None
    roles: tuple[str, ...] = ()
    auth_time: int | None = None
    amr: tuple[str, ...] = ()
    akid: str | None = None
    cnf: Any = UNSET
    """The key the token is bound to (RFC 7800).  Verification refuses every token that has one."""
