"""/.well-known: the keys, and what this server can do (RFC 7517, RFC 8414)."""

import hashlib
from typing import Any

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from msgspec import Struct

from service.runtime import Runtime
from service.settings import Settings

_CACHED = {
    "Cache-Control": "public, max-age=300",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Metadata(Struct, frozen=True, omit_defaults=True):
    """RFC 8414 section 2; only what works is named."""

    issuer: str
    jwks_uri: str
    response_types_supported: tuple[str, ...]


def metadata(settings: Settings) -> Metadata:
    """Describe this server.  Every URL is made from the issuer, never from the request."""
    return Metadata(
        issuer=settings.issuer,
        jwks_uri=f"{settings.issuer}/.well-known/jwks.json",
        response_types_supported=(),
    )


@get("/jwks.json", media_type="application/json")
async def jwks(request: Request[Any, Any, State]) -> Response[bytes]:
    """Return the public signing keys, the active one first."""
    rt: Runtime = request.app.state.rt
    return _cached(request, rt.keyring.jwks)


@get(["/oauth-authorization-server", "/openid-configuration"])
async def server_metadata(request: Request[Any, Any, State]) -> Response[Metadata]:
    """Return the authorization server's metadata."""
    rt: Runtime = request.app.state.rt
    return Response(metadata(rt.settings), headers=_CACHED)


def _cached(request: Request[Any, Any, State], body: bytes) -> Response[bytes]:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_CACHED, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(body, headers=headers)


router = Router("/.well-known", route_handlers=[jwks, server_metadata])
