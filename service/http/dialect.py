"""The dialect of a route: the format of its errors, and the headers of all its answers.

A router or a handler names its dialect (`opt=speaks(Dialect.OAUTH)`).  The name nearest to the
handler counts; without one it is the API's.

A request that has a handler is never judged by its path.  One that no handler of ours answers (404,
405, OPTIONS) gets the dialect of the path's routes, or of the nearest router above it.
"""

from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

from litestar import Litestar, Router
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Scope
from msgspec import Struct
from msgspec.structs import force_setattr

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Dialect(Enum):
    """The kind of client that a route is for."""

    __hash__ = object.__hash__  # an enumeration's own is Python's, and each answer looks one up

    API = "api"
    """Programs: errors are problem+json (RFC 9457)."""
    OAUTH = "oauth"
    """OAuth clients: errors are those of RFC 6749 section 5.2."""
    PAGE = "page"
    """People in a browser: errors are pages."""


_OPT = "dialect"


def speaks(dialect: Dialect) -> dict[str, Dialect]:
    """Return the `opt` by which a router or a handler names its dialect."""
    return {_OPT: dialect}


def of_route(handler: BaseRouteHandler) -> Dialect:
    """Return the dialect of a route."""
    dialect: Dialect = handler.opt.get(_OPT, Dialect.API)
    return dialect


def of(scope: Scope) -> Dialect:
    """Return the dialect in which a request is answered, also where no route was found for it."""
    handler: BaseRouteHandler | None = scope.get("route_handler")
    if handler is not None and scope.get("method") != HttpMethod.OPTIONS:
        return of_route(handler)
    neighbours: Neighbours = scope["litestar_app"].state.neighbours
    return neighbours.of(scope["path"])


class Neighbours:
    """The dialect of requests that no handler of ours answers: 404, 405 and OPTIONS."""

    def __init__(self, app: Litestar) -> None:
        self._known: dict[str, Dialect] = {}
        self._routers: dict[tuple[str, ...], Dialect] = {}
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                for handler in route.route_handlers:
                    if handler.http_methods == {HttpMethod.OPTIONS}:
                        continue  # the framework's own, which has no word of the route's
                    self._known[route.path] = of_route(handler)
                    self._learn_routers(handler)
        self._deepest = max(map(len, self._routers), default=0)

    def of(self, path: str) -> Dialect:
        """Return the dialect of a known path's routes, or of the nearest router above a path."""
        if path in self._known:
            return self._known[path]
        parts = tuple(path.split("/", self._deepest + 1)[1 : self._deepest + 1])
        above = (parts[:count] for count in range(len(parts), -1, -1))
        return next((self._routers[one] for one in above if one in self._routers), Dialect.API)

    def _learn_routers(self, handler: BaseRouteHandler) -> None:
        path: tuple[str, ...] = ()
        for layer in handler.ownership_layers:
            if isinstance(layer, Router):
                path += tuple(part for part in layer.path.split("/") if part)
                if _OPT in layer.opt:
                    self._routers[path] = layer.opt[_OPT]


class Carried(Struct, frozen=True):
    """The headers that all answers of a dialect have."""

    headers: tuple[tuple[bytes, bytes], ...]
    """Headers to add, each unless the answer already has one of that name."""
    cross_origin: bool
    """Whether scripts on pages of the allowed origins may read them (CORS)."""
    names: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        """Learn the names: nearly every answer has none of them."""
        force_setattr(self, "names", frozenset(name for name, _ in self.headers))

    def beside(self, named: set[bytes]) -> Iterable[tuple[bytes, bytes]]:
        """Return those to add to an answer that has headers of these names."""
        if self.names.isdisjoint(named):
            return self.headers
        return [one for one in self.headers if one[0] not in named]


def page_csp(*form_actions: str) -> bytes:
    """Return the Content-Security-Policy of a page.

    `form_actions`: the origins, beside our own, where its forms may lead by a redirect.
    """
    forms = " ".join(("'self'", *form_actions))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        f" connect-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    ).encode("ascii")


_ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"interest-cohort=()"),
    (b"cache-control", b"no-store"),
)
_OF_PROGRAMS = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
)
CARRIED: dict[Dialect, Carried] = {
    Dialect.API: Carried(_OF_PROGRAMS, cross_origin=True),
    # RFC 6749 section 5.1 names both headers against caches.
    Dialect.OAUTH: Carried((*_OF_PROGRAMS, (b"pragma", b"no-cache")), cross_origin=True),
    Dialect.PAGE: Carried(
        (
            *_ALWAYS,
            (b"content-security-policy", page_csp()),
            # With `no-referrer` browsers send `Origin: null` with a page's forms.
            (b"referrer-policy", b"same-origin"),
        ),
        cross_origin=False,
    ),
}
"""Every dialect (tested)."""
