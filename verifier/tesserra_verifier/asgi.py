"""ASGI middleware: no request passes without a good token.

Plain ASGI, so it stands around or inside a Litestar, FastAPI or Starlette application alike.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

from tesserra_verifier.claims import Claims
from tesserra_verifier.errors import InvalidRequestError, MissingTokenError, VerifierError
from tesserra_verifier.verifier import Verifier

# The frameworks type the three words of ASGI each in their own way; these go with all of them.
Scope: TypeAlias = Any
Receive: TypeAlias = Any
Send: TypeAlias = Any
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_POLICY_VIOLATION = 1008


class VerifierMiddleware:
    """Puts the claims of the bearer token in `scope["auth"]`, or answers 400, 401, 403 or 503.

    That is what `request.auth` reads in all three frameworks.  A verifier that is not open yet is
    entered when the application starts up and left when it shuts down; where the application or
    the server does not tell of either (Django), it is entered at the first request that needs it.

    Args:
        app: what stands behind it.
        verifier: what checks the tokens.
        scopes: what every token must have; 403 otherwise.
        open_paths: paths that need no token, compared whole with the path of the request.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        scopes: Collection[str] = (),
        open_paths: Collection[str] = (),
    ) -> None:
        self.app = app
        self._verifier = verifier
        self._scopes = tuple(scopes)
        self._open_paths = frozenset(open_paths)
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] in {"http", "websocket"} and scope["path"] not in self._open_paths:
            try:
                scope["auth"] = await self._admit(scope)
            except VerifierError as refusal:
                await _answer(refusal, scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._verifier.is_open:
            await self.app(scope, receive, send)
            return
        async with self._verifier:
            await self.app(scope, receive, send)

    async def _open(self) -> None:
        """Enter the verifier once, however many requests find it closed; all wait for it."""
        if self._verifier.is_open and not self._opening.locked():
            return
        async with self._opening:
            if not self._verifier.is_open:
                await self._verifier.__aenter__()

    async def _admit(self, scope: Scope) -> Claims:
        await self._open()
        claims = await self._verifier.verify(bearer_token(scope["headers"]))
        claims.require(*self._scopes)
        return claims


def bearer_token(headers: Collection[tuple[bytes, bytes]]) -> str:
    """Return the token of an Authorization header (RFC 6750 section 2.1), from ASGI headers.

    MissingTokenError when there is none; InvalidRequestError when it cannot be told which.
    """
    found = [value for name, value in headers if name.lower() == b"authorization"]
    if len(found) > 1:
        raise InvalidRequestError
    scheme, _, token = (found[0] if found else b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise MissingTokenError
    token = token.strip(" ")
    if not token or " " in token:
        raise InvalidRequestError
    return token


async def _answer(refusal: VerifierError, scope: Scope, receive: Receive, send: Send) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # the handshake
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        prefix = "websocket.http"
    body = refusal.body
    headers = {**refusal.headers, "Content-Length": str(len(body))}
    await send(
        {
            "type": f"{prefix}.response.start",
            "status": refusal.status,
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": f"{prefix}.response.body", "body": body})
