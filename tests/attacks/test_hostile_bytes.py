"""Hostile bytes in every field of every route: 4xx, never 5xx (A37).

The routes are read from the application: one that is added later is attacked from its first day.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
import structlog
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from service.http.shell import Shell
from service.runtime import Runtime
from tests import given
from tests.http import asking

SLOW = re.compile(r"/stream|/revocations$")
"""Answers that wait on purpose."""

VALUES: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e400",
    b"NaN",
    b"1" * 5000,
    b"[]",
    b"{}",
    b'""',
    b'"\\u0000"',
    b'"a\\u0000b@acme.example"',
    b'"\\ud800"',
    b'"\\udfff\\ud800"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\x01"',
    b'"\\u001b[31m"',
    b'"\\u202e\\u2028"',
    b'"\xef\xb7\xba\xef\xb7\xba"',
    b'"' + b"a" * 60_000 + b'"',
    b'"' + "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}".encode() * 200 + b'"',
    b'"\' OR 1=1 --"',
    b'"%00%ff../../etc/passwd"',
    b"[" * 100_000,
    b'{"a":' * 20_000,
)

BODIES: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"{",
    b"{}{}",
    b"[]",
    b'"a"',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"{}" + b" " * 200_000,
    b"a=b&a=c&\xff=%00&%ff",
)

TEXTS: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"\xff" * 50,
    b"\x01\x7f\x85",
    b"a" * 9000,
    b"\xed\xa0\x80",
    b'"; DROP TABLE auth_users; --',
    b"\xc2\xa0",
    b"=;=;;,=",
)

HEADERS: tuple[bytes, ...] = (
    b"authorization",
    b"cookie",
    b"content-type",
    b"content-length",
    b"origin",
    b"sec-fetch-site",
    b"x-forwarded-for",
    b"x-request-id",
    b"user-agent",
    b"accept",
    b"host",
    b"if-none-match",
    b"last-event-id",
    b"traceparent",
    b"access-control-request-method",
)

JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")


def routes(app: Shell) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Return (method, path, handler) of every route there is."""
    litestar = app.app
    for route in litestar.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            assert isinstance(handler, HTTPRouteHandler)
            for method in sorted(handler.http_methods):
                if method != "OPTIONS" and not SLOW.search(route.path):
                    yield method, route.path, handler


def filled(path: str, value: str = "0196f0c0-0000-7000-8000-000000000000") -> str:
    """Put a value in the place of each path parameter."""
    return re.sub(r"\{[^}]*\}", value, path)


def members(handler: HTTPRouteHandler) -> list[str]:
    """Return the names of the members of the body a route takes."""
    field = handler.parsed_data_field
    struct = field.annotation if field is not None else None
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
        return [f.encode_name for f in msgspec.structs.fields(struct)]
    return ["email", "token"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of requests need no line each."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture
async def bearer(rt: Runtime, client: httpx2.AsyncClient) -> tuple[bytes, bytes]:
    """Return the header of a person who may do everything."""
    root = await given.a_person(rt, "root@acme.example", role="owner", platform_admin=True)
    answer = await asking.sign_in(client, root)
    return b"authorization", asking.bearer(answer)["authorization"].encode()


async def attack(
    app: Shell, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, **more: Any
) -> None:
    answer = await asking.raw(app, method, path, headers, body, **more)
    said = (method, path, headers, body[:60], answer.status, answer.body[:200])
    assert answer.status < 500, said
    if answer.status >= 400 and not path.startswith("/oauth") and method != "HEAD":
        answer.problem()


async def test_hostile_values_in_every_member_of_every_body(
    app: Shell, bearer: tuple[bytes, bytes]
) -> None:
    tried = 0
    for method, path, handler in routes(app):
        if method not in ("POST", "PUT", "PATCH") or path.endswith(("/logout", "/logout-all")):
            continue
        names = members(handler)
        for at, value in ((name, value) for name in names for value in VALUES):
            others = [f'"{name}": "aaaaaaaa"'.encode() for name in names if name != at]
            body = b"{" + b", ".join([*others, f'"{at}": '.encode() + value]) + b"}"
            await attack(app, method, filled(path), [JSON, bearer], body)
            tried += 1
    assert tried > 100


async def test_hostile_bodies_on_every_route(app: Shell, bearer: tuple[bytes, bytes]) -> None:
    for method, path, _ in routes(app):
        if path.endswith(("/logout", "/logout-all")):
            continue
        for body in BODIES:
            for kind in (JSON, FORM):
                await attack(app, method, filled(path), [kind, bearer], body)
            await attack(app, method, filled(path), [JSON], body)


async def test_keys_that_are_unknown_or_there_twice_are_refused(
    rt: Runtime, app: Shell, bearer: tuple[bytes, bytes]
) -> None:
    right = f'"email": "root@acme.example", "password": "{given.PASSWORD}"'
    for body in (
        f'{{{right}, "admin": true}}',
        f'{{{right}, "password": "{given.PASSWORD}"}}',
        f'{{{right}, "\\u0070assword": "{given.PASSWORD}"}}',
        f'{{{right}, "organization": 1}}',
        f"[{{{right}}}]",
    ):
        answer = await asking.raw(app, "POST", "/auth/login", [JSON], body.encode())
        assert answer.status == 400, body
        assert b"root@" not in answer.body
    for method, path, handler in routes(app):
        if handler.parsed_data_field is not None and path.startswith("/auth"):
            unknown = b'{"no_such_member": 1}'
            answer = await asking.raw(app, method, filled(path), [JSON, bearer], unknown)
            assert answer.status == 400, path


async def test_hostile_headers_on_every_route(app: Shell, bearer: tuple[bytes, bytes]) -> None:
    for number, (method, path, _) in enumerate(routes(app)):
        for at, name in enumerate(HEADERS):
            # Headers are read in one place for all routes: each route meets a third of the texts.
            for text in (TEXTS * 2)[(number + at) % 9 : (number + at) % 9 + 3]:
                who = [] if name == b"authorization" else [bearer]
                kind = [] if name == b"content-type" else [JSON]
                if path.endswith(("/logout", "/logout-all")):
                    who = []
                await attack(app, method, filled(path), [(name, text), *who, *kind], b"{}")


async def test_hostile_tokens_are_401_or_400(app: Shell) -> None:
    head = "eyJhbGciOiJFUzI1NiJ9"
    for token in (
        *TEXTS,
        b"..",
        b"a.b.c",
        b"." * 9000,
        f"{head}.{head}.".encode(),
        f"{head}.{'A' * 8000}.AAAA".encode(),
        f"{head}....{head}".encode(),
        b"\xf0\x9f\x98\x80.\xf0.\x80",
    ):
        for scheme in (b"Bearer ", b"bearer ", b"Bearer  ", b"Bearer\t", b"Basic ", b""):
            answer = await asking.raw(app, "GET", "/auth/me", [(b"authorization", scheme + token)])
            assert answer.status == 401


async def test_hostile_cookies_are_400_or_401(app: Shell) -> None:
    for text in (*TEXTS, b"." * 100, b"a" * 32 + b".1." + b"a" * 43, b"\xd9\xa3.1.a"):
        for name in (b"__Host-refresh", b"__Host-device"):
            headers = [JSON, (b"cookie", name + b"=" + text)]
            for path in ("/auth/refresh", "/auth/logout-all"):
                answer = await asking.raw(app, "POST", path, headers, b"{}")
                assert answer.status in (400, 401), (name, text)
            form = b'{"email": "nobody@acme.example", "password": "wrong password"}'
            answer = await asking.raw(app, "POST", "/auth/login", headers, form)
            assert answer.status in (400, 401), (name, text)


async def test_hostile_paths_queries_and_methods(app: Shell, bearer: tuple[bytes, bytes]) -> None:
    pieces = (
        "\0",
        "\x7f",
        "%00",
        "%",
        "%zz",
        "\udcff",
        "\ud800",
        "é",
        "..",
        "a" * 9000,
        "\r\n",
        "*",
    )
    queries = (b"limit=-1", b"limit=a&cursor=\x00", b"cursor=%ff%00", b"\xff", b"=&" * 2000)
    for number, (method, path, _) in enumerate(routes(app)):
        if path.endswith(("/logout", "/logout-all")):
            continue
        for piece in (pieces * 2)[number % 12 : number % 12 + 4]:
            if "{" in path:
                await attack(app, method, filled(path, piece), [JSON, bearer], b"{}")
            await attack(app, method, filled(path) + piece, [JSON, bearer], b"{}")
        for query in queries:
            await attack(app, method, filled(path), [JSON, bearer], b"{}", query=query)
    for method in ("TRACE", "CONNECT", "BREW", "get", "\xff", ""):
        for path in ("/auth/login", "/auth/me", "/healthz", "/nothing"):
            await attack(app, method, path, [JSON], b"{}")
    for path in ("", "*", "//", "/./", "/%2e%2e/", "http://evil.test/auth/me"):
        await attack(app, "GET", path, [bearer], b"")


async def test_the_host_that_is_asked_for_changes_nothing(app: Shell) -> None:
    for name in (b"host", b"x-forwarded-host", b"forwarded", b"x-forwarded-proto"):
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/jwks.json"):
            plain = await asking.raw(app, "GET", path)
            poisoned = await asking.raw(app, "GET", path, [(name, b"host=evil.test")])
            assert (plain.status, plain.body) == (poisoned.status, poisoned.body)
            assert b"evil" not in poisoned.body
