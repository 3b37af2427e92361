"""The outermost ASGI layer: what all answers have in common.

The framework skips middleware on 404 and 405, so this wraps the whole application.  It adds the
request id, the headers of the route's dialect and CORS, writes the access log, and answers 500 when
something below fails.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import cast

from litestar import Litestar
from litestar.enums import HttpMethod, ScopeType
from litestar.types import (
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)

from service.http import dialect, exceptions, host
from service.http.body import Body, Patience
from service.http.context import HTTP_1, may_have_body
from service.http.dialect import CARRIED, Headers
from service.http.hot import HOT, Hot, rendered
from service.kernel import ids, log, metrics
from service.kernel.call import BudgetState
from service.kernel.clock import Clock
from service.kernel.leaving import Leaving
from service.kernel.refusal import Reason, Refused
from service.settings import Settings

_DIGITS = 16
_EXPOSED = b"retry-after, x-request-id, ratelimit, ratelimit-policy"
_VARY = (b"vary", b"Origin")
_PUBLIC = (b"access-control-allow-origin", b"*")
_CLOSE = (b"connection", b"close")
_WITHOUT_HOST = frozenset({"1", "1.0"})
"""HTTP/1.0, which did not know `Host`: health checks of load balancers speak it."""
_HOST = "Host: exactly one, a name or an address (IPv6 in brackets), with or without a port"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_NOT_CANONICAL = re.compile(rb"//|%2[fF]|%5[cC]|(?<!\A)/\Z|/\.{1,2}(?:/|\Z)")
"""Its time is linear in the length of the path, which may have 64 KiB."""
_PREFLIGHT: tuple[tuple[bytes, bytes], ...] = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-max-age", b"600"),
    (b"vary", b"Access-Control-Request-Headers"),
)
_ALLOWED_HEADERS = (b"authorization", b"content-type", b"idempotency-key", b"x-request-id")
_MOST_HEADERS = 32
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


class Edge:
    """An ASGI application around the framework's; `hot` routes do without the framework."""

    def __init__(
        self,
        app: Litestar,
        settings: Settings,
        clock: Clock,
        hot: Iterable[tuple[str, str]] = HOT,
    ) -> None:
        self.app = app
        self._leaving: Leaving = app.state.leaving
        self._hot = Hot(app, hot)
        self._clock = clock
        self._patience = Patience(clock)
        self._origins = {origin.encode() for origin in settings.allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        scope["litestar_app"] = self.app
        if scope["method"] == HttpMethod.HEAD:
            # RFC 9110 section 9.3.2: whatever answers GET answers HEAD, without the body.
            scope, send = _as_get(scope), _without_body(send)
        exchange = _Exchange(scope, send, self._origins, self._clock, self._leaving)
        body = exchange.receive(receive, self._patience)
        if not exchange.names_a_host():
            await exchange.refuse(Reason.INVALID_REQUEST, _HOST)
            return
        if exchange.is_preflight():
            await exchange.answer(204, exchange.preflight(), b"")
            return
        if _NOT_CANONICAL.search(scope.get("raw_path") or scope["path"].encode()):
            await exchange.refuse(Reason.NOT_FOUND)
            return
        try:
            answer = await self._hot.answer(scope, body)
            if answer is None:
                await self.app(scope, body, exchange.send)
            else:
                await exchange.answer(*answer)
        except Exception as exc:  # noqa: BLE001 - nothing leaves without an answer
            log.log().error("fault", request_id=exchange.request_id, error=type(exc).__name__)
            if not exchange.started:
                await exchange.fault()


def _as_get(scope: HTTPScope) -> HTTPScope:
    as_get = scope.copy()
    as_get["method"] = HttpMethod.GET
    return as_get


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return headers_only


def _budget(one: BudgetState) -> Headers:
    """Return the headers for a rate limit's state (draft-ietf-httpapi-ratelimit-headers-11)."""
    return [
        (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (one.name.encode(), one.count, one.window)),
        (b"ratelimit", b'"%b";r=%d;t=%d' % (one.name.encode(), one.left, one.seconds)),
    ]


def _readable(origin: bytes | None, allowed: Collection[bytes]) -> Headers:
    """Return the CORS headers by which a page of an allowed origin may read the answer."""
    if origin is None or origin not in allowed:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _EXPOSED),
    ]


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        scope: HTTPScope,
        send: Send,
        origins: set[bytes],
        clock: Clock,
        leaving: Leaving,
    ) -> None:
        self._clock = clock
        self._leaving = leaving
        self._began = self._clock.monotonic()
        self._scope = scope
        self._send = send
        fields = cast("Sequence[tuple[bytes, bytes]]", scope["headers"])
        self._headers = dict(fields)
        self._repeats = len(self._headers) < len(fields)
        given = self._headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else ids.of_request()
        self._readable = _readable(self._headers.get(b"origin"), origins)
        self.started = False
        self._body: Body
        scope["state"] = {
            **scope.get("state", {}),
            "request_id": self.request_id,
            "headers": self._headers,
        }

    def names_a_host(self) -> bool:
        """Whether it names exactly one host (RFC 9112 section 3.2)."""
        named = self._headers.get(b"host", b"")
        if self._repeats and sum(name == b"host" for name, _ in self._scope["headers"]) > 1:
            return False
        return host.may_be(named) or (not named and self._scope["http_version"] in _WITHOUT_HOST)

    def receive(self, receive: Receive, patience: Patience) -> Body:
        """Return the reader of the request's body, with its limits."""
        whole = not may_have_body(self._scope)
        self._body = Body(receive, self._announced(), patience, whole=whole)
        return self._body

    def _announced(self) -> int | None:
        """Return the announced size of the body in bytes; None when it is not announced."""
        length = self._headers.get(b"content-length")
        if length is None or b"transfer-encoding" in self._headers:  # RFC 9112 section 6.3
            return None
        return int(length) if length.isdigit() and len(length) < _DIGITS else None

    def is_preflight(self) -> bool:
        """Whether this is a CORS preflight from an allowed origin."""
        return (
            self._scope["method"] == "OPTIONS"
            and self._readable != []
            and b"access-control-request-method" in self._headers
            and CARRIED[dialect.of(self._scope)].cross_origin
        )

    def preflight(self) -> Headers:
        """Return what a page of an allowed origin may send, including every header it asks for.

        Tracing in browsers adds new headers all the time.  Allowing a header is harmless: anybody
        can send it without a browser.  The origin alone decides what a page may do.
        """
        wanted = self._headers.get(b"access-control-request-headers", b"").lower().split(b",")
        names = [name.strip(b" \t") for name in wanted]
        if len(names) > _MOST_HEADERS or not all(map(_HEADER_NAME.fullmatch, names)):
            names = []
        allowed = b", ".join(dict.fromkeys((*_ALLOWED_HEADERS, *names)))
        return [*_PREFLIGHT, (b"access-control-allow-headers", allowed)]

    async def send(self, message: Message) -> None:
        """Pass a message on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            whole = self._body.whole or await self._drain()
            message["headers"] = self._begin(message["status"], message["headers"], whole=whole)
        await self._send(message)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer here, without the framework."""
        whole = self._body.whole or await self._drain()
        headers = self._begin(status, headers, whole=whole)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _drain(self) -> bool:
        """Read the rest of the body where it is in the way; return whether nothing is in the way.

        HTTP/2 gives each request a stream of its own (RFC 9113 section 5).
        """
        return self._scope["http_version"] not in HTTP_1 or await self._body.drain()

    def _begin(self, status: int, given: Iterable[tuple[bytes, bytes]], *, whole: bool) -> Headers:
        """Note an answer, and return its headers with what every answer carries.

        `whole`: nothing of the request's body is in the way of the connection's next request.
        """
        self.started = True
        carried = CARRIED[dialect.of(self._scope)]
        named = {name.lower() for name, _ in given}
        headers = [*given, *carried.beside(named)]
        headers.append((b"x-request-id", self.request_id.encode()))
        # HTTP/2 has no `Connection` (RFC 9113 section 8.2.2).
        closes = (not whole or self._leaving.begun) and self._scope["http_version"] in HTTP_1
        if carried.cross_origin:
            headers.append(_VARY)
            if _PUBLIC not in headers:
                headers += self._readable
        if closes and _CLOSE[0] not in named:
            headers.append(_CLOSE)
        for one in self._scope["state"].get("budgets", ()):
            headers += _budget(one)
        self._note(status)
        return headers

    async def refuse(self, reason: Reason, detail: str = "") -> None:
        """Answer with a refusal."""
        refused = exceptions.refusal(self._scope, Refused(reason, detail))
        await self.answer(*rendered(refused))

    async def fault(self) -> None:
        """Answer 500."""
        await self.answer(*rendered(exceptions.fault(self._scope)))

    def _note(self, status: int) -> None:
        took = self._clock.monotonic() - self._began
        state = self._scope["state"]
        route = self._scope.get("path_template") or state.get("route") or "-"
        method = self._scope["method"] if self._scope["method"] in _METHODS else "_OTHER"
        metrics.answered(method, route, status, took)
        log.answered(
            self.request_id,
            state.get("tenant_id"),
            state.get("actor_id"),
            method,
            route,
            status,
            took,
            address=state.get("client_address"),
            reason=state.get("refusal"),
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others are a caller's own words, and each would be a time series of its own."""
