"""/.well-known: the public keys and the server's metadata (RFC 7517, RFC 8414)."""

import hashlib
from functools import lru_cache

from litestar import Response, Router, get
from litestar.openapi import ResponseSpec
from litestar.types import Scope
from msgspec import Struct

from service.domain.clients import AuthMethod
from service.flows.shared import permissions
from service.http.context import header, runtime
from service.http.oauth.endpoints import GRANTS
from service.kernel import jose
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_CACHED = {
    "Cache-Control": "public, max-age=300",
    "Access-Control-Allow-Origin": "*",
}


_METHODS = tuple(AuthMethod)
_AUTHENTICATED = tuple(one for one in AuthMethod if one is not AuthMethod.NONE)
"""Introspection is not for public clients."""

_ALGORITHMS = tuple(jose.FOREIGN_ALGORITHMS)


class Metadata(Struct, frozen=True, omit_defaults=True):
    """RFC 8414 section 2.  It lists only what this server supports."""

    issuer: str
    jwks_uri: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    response_types_supported: tuple[str, ...]
    grant_types_supported: tuple[str, ...]
    token_endpoint_auth_methods_supported: tuple[str, ...]
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    introspection_endpoint_auth_methods_supported: tuple[str, ...]
    introspection_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    revocation_endpoint_auth_methods_supported: tuple[str, ...]
    revocation_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    scopes_supported: tuple[str, ...]


def metadata(rt: Runtime) -> Metadata:
    """Return the metadata.  Every URL is made from the issuer, never from the request."""
    issuer = rt.settings.issuer
    return Metadata(
        issuer=issuer,
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        token_endpoint=f"{issuer}/oauth/token",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        response_types_supported=(),
        grant_types_supported=GRANTS,
        token_endpoint_auth_methods_supported=_METHODS,
        token_endpoint_auth_signing_alg_values_supported=_ALGORITHMS,
        introspection_endpoint_auth_methods_supported=_AUTHENTICATED,
        introspection_endpoint_auth_signing_alg_values_supported=_ALGORITHMS,
        revocation_endpoint_auth_methods_supported=_METHODS,
        revocation_endpoint_auth_signing_alg_values_supported=_ALGORITHMS,
        scopes_supported=(*rt.policy.scopes, *permissions.Scope),
    )


@get(
    "/jwks.json",
    media_type="application/json",
    responses={304: ResponseSpec(None, description="As the ETag of If-None-Match has it")},
)
async def jwks(scope: Scope) -> Response[bytes]:
    """Return the public signing keys: by algorithm, and of each the active one first."""
    return _cached(scope, runtime(scope).keyring.jwks)


@get(["/oauth-authorization-server", "/openid-configuration"])
async def server_metadata(scope: Scope) -> Response[Metadata]:
    """Return the authorization server's metadata."""
    return Response(metadata(runtime(scope)), headers=_CACHED)


@get("/security.txt", media_type="text/plain")
async def security_txt(scope: Scope) -> str:
    """Return how to report a vulnerability (RFC 9116); 404 when that text has expired."""
    rt = runtime(scope)
    told = rt.policy.security
    if not told.contact or told.expires is None or told.expires <= rt.clock.now():
        raise Refused(Reason.NOT_FOUND, private="security.txt: no contact, or expired")
    lines = (
        f"Contact: {told.contact}",
        f"Expires: {told.expires.isoformat()}",
        f"Preferred-Languages: {told.languages}",
        f"Canonical: {rt.settings.issuer}/.well-known/security.txt",
    )
    return "\n".join(lines) + "\n"


def _cached(scope: Scope, body: bytes) -> Response[bytes]:
    etag = _etag(body)
    headers = {**_CACHED, "ETag": etag}
    if header(scope, b"if-none-match") == etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(body, headers=headers)


@lru_cache(4)
def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


router = Router("/.well-known", route_handlers=[jwks, server_metadata, security_txt])
