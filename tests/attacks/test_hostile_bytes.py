"""Hostile bytes in every field of every route: 4xx, never 5xx (A37).

The routes are read from the application: one that is added later is attacked from its first day.
"""

import base64
import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest
import structlog
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from service.embedded.checkout import ROOT
from service.http.edge import Edge
from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.http import asking
from tests.keys import EXCHANGE, KEY_TYPE

OPENAPI = ROOT / "openapi" / "tesserra-auth.json"

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


def routes(app: Edge) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
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
    app: Edge, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, **more: Any
) -> None:
    answer = await asking.raw(app, method, path, headers, body, **more)
    said = (method, path, headers, body[:60], answer.status, answer.body[:200])
    assert answer.status < 500, said
    if answer.status >= 400 and not path.startswith("/oauth") and method != "HEAD":
        answer.problem()


async def test_hostile_values_in_every_member_of_every_body(
    app: Edge, bearer: tuple[bytes, bytes]
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


async def test_hostile_bodies_on_every_route(app: Edge, bearer: tuple[bytes, bytes]) -> None:
    for method, path, _ in routes(app):
        if path.endswith(("/logout", "/logout-all")):
            continue
        for body in BODIES:
            for kind in (JSON, FORM):
                await attack(app, method, filled(path), [kind, bearer], body)
            await attack(app, method, filled(path), [JSON], body)


FORMS: dict[str, tuple[str, ...]] = {
    "/oauth/token": (
        "grant_type",
        "scope",
        "refresh_token",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "actor_token",
        "audience",
        "resource",
    ),
    "/oauth/introspect": ("token", "token_type_hint", "address"),
    "/oauth/revoke": ("token", "token_type_hint"),
}
"""What OAuth's forms may hold, beside how the client identifies itself."""

IDENTITY = ("client_id", "client_secret", "client_assertion", "client_assertion_type")

FORM_VALUES: tuple[bytes, ...] = (
    b"",
    b"%00",
    b"a%00b",
    b"%ff%fe",
    b"%ED%A0%80",
    b"%0d%0aset-cookie:%20a=b",
    b"%E2%80%AE%E2%80%A8",
    b"+",
    b"%",
    b"%zz",
    b"\xff",
    b"'%20OR%201=1%20--",
    b"..%2f..%2fetc%2fpasswd",
    b"1" * 5000,
    b"a" * 8193,
    b"%F0%9F%92%A9" * 100,
    b"tsk_" + b"A" * 4000,
    b"a.a.a",
    b"." * 5000,
    b"eyJhbGciOiJub25lIn0.e30.",
    b"fe80::1%25eth0",
    b"fe80::1%25%00",
    b"::ffff:1.2.3.4",
)


async def test_hostile_values_in_every_parameter_of_every_form(
    rt: Runtime, app: Edge, client: httpx2.AsyncClient
) -> None:
    """By a client that identifies itself, so that the forms are read to their end."""
    service = await a_service(rt, client, "revocations:read")
    basic = base64.b64encode(f"{service.client_id}:{service.secret}".encode())
    known = [FORM, (b"authorization", b"Basic " + basic)]
    right = {
        "client_credentials": b"",
        "refresh_token": b"&refresh_token=a",
        EXCHANGE: b"&subject_token=tsk_a&subject_token_type=" + quote(KEY_TYPE, safe="").encode(),
    }
    tried = 0
    for path, names in FORMS.items():
        grants = right if path == "/oauth/token" else {"": b"&token=a"}
        for grant, rest in grants.items():
            plain = b"grant_type=" + quote(grant, safe="").encode() + rest
            pairs = [pair for pair in plain.split(b"&") if pair[-1:] != b"="]
            for name in (*names, *IDENTITY):
                kept = [pair for pair in pairs if pair.partition(b"=")[0] != name.encode()]
                for value in FORM_VALUES:
                    body = b"&".join([*kept, name.encode() + b"=" + value])
                    # Who says something of themselves in the form says nothing in the header.
                    headers = [FORM] if name in IDENTITY else known
                    answer = await asking.raw(app, "POST", path, headers, body)
                    said = (path, body[:120], answer.status, answer.body[:200])
                    assert answer.status < 500, said
                    if answer.status >= 400:
                        assert "error" in msgspec.json.decode(answer.body), said
                        assert b"passwd" not in answer.body, said
                        assert b"set-cookie" not in answer.body, said
                    tried += 1
    assert tried > 500


QUERY_VALUES: tuple[bytes, ...] = (
    b"",
    b"%00",
    b"a%00",
    b"%ff%fe",
    b"\xff",
    b"%ED%A0%80",
    b"-1",
    b"1" * 400,
    b"0196f0c0-0000-7000-8000-000000000000",
    b"platform",
    b"%7B0196f0c0-0000-7000-8000-000000000000%7D",
    b"%EF%BC%91",
    b"192.0.2.0/24",
    b"::1",
    b"fe80::1%25eth0",
    b"0001-01-01T00:00:00%2B14:00",
    b"9999-12-31T23:59:59-14:00",
    b"2026-01-01T00:00:60Z",
    b"'%20OR%201=1%20--",
    b"a" * 5000,
)


async def test_hostile_values_in_every_parameter_of_every_query(
    app: Edge, bearer: tuple[bytes, bytes]
) -> None:
    """By its own name: a parameter that is unknown is refused before anybody reads it."""
    tried = 0
    for path, operations in json.loads(OPENAPI.read_text())["paths"].items():
        for method, operation in operations.items():
            for one in operation.get("parameters", ()):
                if one["in"] != "query" or one["name"] == "wait" or path.endswith("/stream"):
                    continue
                for value in QUERY_VALUES:
                    query = one["name"].encode() + b"=" + value
                    await attack(
                        app, method.upper(), filled(path), [JSON, bearer], b"{}", query=query
                    )
                    tried += 1
    assert tried > 300


async def test_keys_that_are_unknown_or_there_twice_are_refused(
    rt: Runtime, app: Edge, bearer: tuple[bytes, bytes]
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


async def test_hostile_headers_on_every_route(app: Edge, bearer: tuple[bytes, bytes]) -> None:
    for number, (method, path, _) in enumerate(routes(app)):
        for at, name in enumerate(HEADERS):
            # Headers are read in one place for all routes: each route meets a third of the texts.
            for text in (TEXTS * 2)[(number + at) % 9 : (number + at) % 9 + 3]:
                who = [] if name == b"authorization" else [bearer]
                kind = [] if name == b"content-type" else [JSON]
                if path.endswith(("/logout", "/logout-all")):
                    who = []
                await attack(app, method, filled(path), [(name, text), *who, *kind], b"{}")


async def test_hostile_tokens_are_401_or_400(app: Edge) -> None:
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


async def test_hostile_cookies_are_400_or_401(app: Edge) -> None:
    for text in (*TEXTS, b"." * 100, b"a" * 32 + b".1." + b"a" * 43, b"\xd9\xa3.1.a"):
        for name in (b"__Host-refresh", b"__Host-device"):
            headers = [JSON, (b"cookie", name + b"=" + text)]
            for path in ("/auth/refresh", "/auth/logout-all"):
                answer = await asking.raw(app, "POST", path, headers, b"{}")
                assert answer.status in (400, 401), (name, text)
            form = b'{"email": "nobody@acme.example", "password": "wrong password"}'
            answer = await asking.raw(app, "POST", "/auth/login", headers, form)
            assert answer.status in (400, 401), (name, text)


async def test_hostile_paths_queries_and_methods(app: Edge, bearer: tuple[bytes, bytes]) -> None:
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


async def test_the_host_that_is_asked_for_changes_nothing(app: Edge) -> None:
    for named in (
        (b"host", b"evil.test"),
        (b"x-forwarded-host", b"evil.test"),
        (b"forwarded", b"host=evil.test"),
        (b"x-forwarded-proto", b"evil"),
    ):
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/jwks.json"):
            plain = await asking.raw(app, "GET", path)
            poisoned = await asking.raw(app, "GET", path, [named])
            assert (plain.status, plain.body) == (poisoned.status, poisoned.body)
            assert b"evil" not in poisoned.body
