"""The most frequent routes, served without the framework's machinery.

These few routes are nearly all of the traffic.  The framework's work for a request (routing, a
request object, parsed arguments, a response, its headers) costs more than theirs.  This module
calls the same handlers with the same dependency, body and errors, by a shorter path.  All other
paths and methods go through the framework.  A test sends each request both ways and compares the
answers byte by byte.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from litestar.routes import HTTPRoute
from litestar.types import Empty, HTTPScope, Receive, Scope
from litestar.utils.helpers import get_enum_string_value
from msgspec import Struct

from service.http import exceptions
from service.http.context import header, may_have_body
from service.http.validation import Expected, check_request
from service.kernel.refusal import Reason, Refused

HOT = (
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/auth/me"),
    ("POST", "/auth/refresh"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/introspect"),
    ("POST", "/api-keys/verify"),
)
_HOOKS_OF_APPS = (
    "before_send",
    "after_exception",
    "cors_config",
    "csrf_config",
    "compression_config",
    "allowed_hosts",
)
_HOOKS = (
    "middleware",
    "guards",
    "before_request",
    "after_request",
    "after_response",
    "response_headers",
    "response_cookies",
    "cache_control",
    "etag",
    "dto",
    "return_dto",
    "parameters",
    "cache",
)
"""Of apps, routers and handlers alike."""
_KNOWN = (("before_request", check_request),)
"""What a hot route does by itself, in `respond`."""
_JSON = "application/json"
_encode = msgspec.json.Encoder().encode


class _Wire(Struct, frozen=True):
    """A handler and its arguments."""

    handler: HTTPRouteHandler
    path: str
    handle: Callable[..., Awaitable[Any]]
    status: int
    media_type: str
    provide: Callable[..., Awaitable[Any]] | None
    """The one dependency, of the scope and, where it reads it, of the body."""
    provided: str
    provider_reads: bool
    expected: Expected | None
    takes_scope: bool
    largest: int

    async def respond(self, scope: Scope, receive: Receive) -> object:
        """Do what the framework does: check the body, provide the dependency, call the handler."""
        given: dict[str, Any] = {"scope": scope} if self.takes_scope else {}
        body = b""
        if self.expected is not None or self.provider_reads or may_have_body(scope):
            body = await _read(scope, receive, self.largest)
        if self.expected is not None:
            try:
                found = self.expected.read(scope, body)
            except Refused:
                await self._dependency(scope, body)  # a stranger is told to sign in
                raise
            if found is not None:
                given["data"] = found
        if self.provide is not None:
            given[self.provided] = await self._dependency(scope, body)
        return await self.handle(**given)

    async def _dependency(self, scope: Scope, body: bytes) -> object:
        if self.provide is None:
            return None
        if self.provider_reads:
            return await self.provide(scope=scope, body=RawBody(body))
        return await self.provide(scope=scope)


class Answer(NamedTuple):
    """An answer as it is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Hot:
    """The hot routes."""

    def __init__(self, framework: Litestar, routes: Iterable[tuple[str, str]] = HOT) -> None:
        self._wires = {(m, path): _wire(framework, m, path) for m, path in routes}

    async def answer(self, scope: HTTPScope, receive: Receive) -> Answer | None:
        """Answer a request for a hot route.  For any other, read nothing and return None."""
        wire = self._wires.get((scope["method"], scope["path"]))
        if wire is None:
            return None
        scope["route_handler"] = wire.handler
        scope["path_template"] = wire.path
        try:
            return rendered(await wire.respond(scope, receive), wire.status, wire.media_type)
        except Refused as refused:
            response = exceptions.on_refused(Request(scope), refused)
        except HTTPException as exc:
            response = exceptions.on_http_exception(Request(scope), exc)
        except Exception as exc:  # noqa: BLE001 - as the framework has it
            response = exceptions.on_fault(Request(scope), exc)
        return rendered(response, wire.status, wire.media_type)


def rendered(answer: object, status: int = 200, media_type: str = _JSON) -> Answer:
    """Return what the framework would send for the result of a handler or a refusal."""
    headers: list[tuple[bytes, bytes]] = []
    content = answer
    if isinstance(answer, Response):
        content = answer.content
        status = answer.status_code or status
        media_type = get_enum_string_value(answer.media_type or media_type)
        headers += [_header(name, value) for name, value in answer.headers.items()]
        headers += [cookie.to_encoded_header() for cookie in answer.cookies]
    body = content if isinstance(content, bytes) else _encode(content)
    if status not in {204, 304}:
        headers.append(_header("content-type", media_type))
        headers.append((b"content-length", b"%d" % len(body)))
    return Answer(status, headers, body)


@lru_cache(256)
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


async def _read(scope: Scope, receive: Receive, largest: int) -> bytes:
    """Read the body.  Refused: INVALID_REQUEST; TOO_LARGE, before reading if it is announced."""
    announced = header(scope, b"content-length")
    try:
        too_large = announced is not None and int(announced) > largest
    except ValueError:  # no number, or one of thousands of digits
        raise Refused(Reason.INVALID_REQUEST) from None
    if too_large:
        raise exceptions.too_large(largest)
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(Reason.INVALID_REQUEST, private="gone before its body was here")
        body += message["body"]
        if len(body) > largest:
            raise exceptions.too_large(largest)
        if not message.get("more_body", False):
            return body


def _wire(framework: Litestar, method: str, path: str) -> _Wire:
    """Build a hot route from the framework's.  TypeError when that needs more than this offers."""
    handler = _handler(framework, method, path)
    if skipped := sorted(_skipped(framework, handler)):
        raise TypeError(
            f"{method} {path} is a hot route (http/hot.py), which would skip: {', '.join(skipped)}."
            " Take the route out of HOT, or do without"
        )
    dependencies = handler.resolve_dependencies()
    names = set(inspect.signature(handler.fn).parameters)
    provided = "".join(names & dependencies.keys())
    if names - {"scope", "data", provided} or handler.resolve_guards():
        raise TypeError(f"{method} {path}: too much for a hot route")
    provide = dependencies[provided].dependency if provided else None
    reads = set(inspect.signature(provide).parameters) if provide else {"scope"}
    if reads - {"scope", "body"}:
        raise TypeError(f"{method} {path}: {provided} is too much for a hot route")
    return _Wire(
        handler=handler,
        path=path,
        handle=handler.fn,
        status=handler.status_code,
        media_type=get_enum_string_value(handler.media_type or _JSON),
        provide=provide,
        provided=provided,
        provider_reads="body" in reads,
        expected=Expected.of(handler),
        takes_scope="scope" in names,
        largest=handler.resolve_request_max_body_size() or 0,
    )


def _skipped(framework: Litestar, handler: HTTPRouteHandler) -> Iterator[str]:
    """Yield what the framework would run for a handler, at any layer, and a hot route would not."""
    for name in _HOOKS_OF_APPS:
        if getattr(framework, name):
            yield name
    for layer in handler.ownership_layers:
        for name in _HOOKS:
            found = getattr(layer, name, None)
            if found and found is not Empty and (name, found) not in _KNOWN:
                yield name
        for kind, handle in (layer.exception_handlers or {}).items():
            if exceptions.HANDLERS.get(kind) is not handle and not _is_framework_s(handle):
                yield f"exception_handlers for {kind}"


def _is_framework_s(handle: object) -> bool:
    """Tell whether it is one that the framework brings for errors of libraries we do not raise."""
    return str(getattr(handle, "__module__", "")).partition(".")[0] == "litestar"


def _handler(framework: Litestar, method: str, path: str) -> HTTPRouteHandler:
    for route in framework.routes:
        if isinstance(route, HTTPRoute) and route.path == path:
            for handler in route.route_handlers:
                if method in handler.http_methods:
                    return handler
    raise LookupError(f"{method} {path}")
