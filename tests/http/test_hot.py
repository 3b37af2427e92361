"""The hot room against the framework it stands in front of: the same answers, byte by byte.

The framework's own way is the oracle.  Requests good and bad go both ways, and so do requests that
were damaged at random.
"""

import base64
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx2
import pytest

from service.app import build, litestar_app
from service.http.edge import Edge
from service.http.hot import HOT, Hot
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.clients import a_service
from tests.http import asking
from tests.world import ORIGIN

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
REQUEST_ID = (b"x-request-id", b"one-and-the-same")
LARGEST = 64 * 1024
TOKEN = re.compile(rb'"access_token":"[^"]+"')
"""Bears an id of its own: never the same twice."""


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""


class Ways:
    """One application, and two ways to it."""

    def __init__(self, hot: Edge, plain: Edge) -> None:
        self._hot = hot
        self._plain = plain

    async def differ(self, asked: Asked) -> asking.Answer:
        """Ask both ways; fail when the answers differ, else return the one."""
        one, other = [
            await asking.raw(
                way, asked.method, asked.path, [REQUEST_ID, *asked.headers], asked.body
            )
            for way in (self._plain, self._hot)
        ]
        assert one.status == other.status, (asked, one, other)
        assert TOKEN.sub(b"", one.body) == TOKEN.sub(b"", other.body), asked
        assert sorted(lowered(one)) == sorted(lowered(other)), asked
        return other


def lowered(answer: asking.Answer) -> Headers:
    return [(name.lower(), value) for name, value in answer.headers]


@pytest.fixture
async def ways(rt: Runtime, app: Edge, settings: Settings) -> Ways:
    rt.clock.freeze(rt.clock.now())
    return Ways(app, Edge(app.app, settings, rt.clock, hot=()))


@pytest.fixture
async def good(rt: Runtime, browser: Callable[..., httpx2.AsyncClient]) -> list[Asked]:
    """A request for each hot route that is answered with what was asked for."""
    client = browser()
    ada = await given.a_person(rt, role="owner")
    entered = await asking.sign_in(client, ada)
    token = entered.json()["access_token"].encode()
    issued = await client.post(
        "/api-keys", json={"name": "x", "scopes": ["agentes"]}, headers=asking.bearer(entered)
    )
    key = issued.json()["secret"]
    service = await a_service(rt, client, "agentes", "api-keys:verify")
    pair = base64.b64encode(f"{service.client_id}:{service.secret}".encode())
    basic = (b"authorization", b"Basic " + pair)
    cookie = (b"cookie", f"{asking.REFRESH}={asking.cookie(entered)}".encode())
    bearer = (b"authorization", b"Bearer " + token)
    machine = (b"authorization", b"Bearer " + service.token.encode())
    return [
        Asked("GET", "/.well-known/jwks.json", []),
        Asked("GET", "/auth/me", [bearer]),
        Asked("POST", "/auth/refresh", [cookie, JSON], b"{}"),
        Asked("POST", "/oauth/token", [basic, FORM], b"grant_type=client_credentials"),
        Asked("POST", "/oauth/introspect", [basic, FORM], b"token=" + token),
        Asked("POST", "/oauth/introspect", [basic, FORM], urlencode({"token": key}).encode()),
        Asked("POST", "/api-keys/verify", [machine, JSON], b'{"key": "%s"}' % key.encode()),
    ]


async def test_what_is_good(ways: Ways, good: list[Asked]) -> None:
    assert {(asked.method, asked.path) for asked in good} == set(HOT)
    for asked in good:
        assert (await ways.differ(asked)).status == 200
        for origin in (ORIGIN, "https://evil.test"):
            told = [*asked.headers, (b"origin", origin.encode())]
            await ways.differ(asked._replace(headers=told))
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST", "GET"):
            await ways.differ(asked._replace(method=method))
        for path in (asked.path + "/", asked.path + "/x", asked.path.upper(), "/" + asked.path):
            await ways.differ(asked._replace(path=path))


async def test_what_is_not(ways: Ways, good: list[Asked]) -> None:
    for asked in good:
        without = [header for header in asked.headers if header[0] != b"authorization"]
        for authorization in ([], [b""], [b"Bearer"], [b"Bearer x"], [b"Basic x"], [b"a", b"b"]):
            shown = [(b"authorization", value) for value in authorization]
            await ways.differ(asked._replace(headers=without + shown))
        for body in BODIES:
            answer = await ways.differ(asked._replace(body=body))
            assert answer.status < 500
        bare = [header for header in asked.headers if header[0] != b"content-type"]
        for declared in (b"", b"text/plain", b"APPLICATION/JSON; charset=x", b"application/jsonx"):
            told = [*bare, (b"content-type", declared)]
            await ways.differ(asked._replace(headers=told))
        for header in ODD:
            await ways.differ(asked._replace(headers=[*asked.headers, header]))
        await ways.differ(asked._replace(headers=[*asked.headers, *asked.headers]))


BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"x": 1}',
    b'{"key": 1}',
    b'{"key": "a", "key": "b"}',
    b'{"key": "\xff"}',
    b'{"key": "tsk_a", "address": "nowhere"}',
    b"[" * 5000,
    b"token",
    b"token=",
    b"token=a&token=b",
    b"token=%ff",
    b"token=x&client_id=y",
    b"grant_type=x",
    b"grant_type=refresh_token",
    b"a" * LARGEST,
    b"a" * (LARGEST + 1),
)
ODD: Headers = [
    (b"content-length", str(LARGEST + 1).encode()),
    *((b"content-length", told) for told in (b"x", b"", b"\xb2", b"-1", b"9" * 30, b"9" * 5000)),
    (b"cookie", f"{asking.REFRESH}=another".encode()),
    (b"if-none-match", b"*"),
    (b"sec-fetch-site", b"cross-site"),
    (b"x-forwarded-for", b"\xff, 192.0.2.7"),
    (b"user-agent", b"\xff\x00"),
]


async def test_what_is_known_already(ways: Ways) -> None:
    asked = Asked("GET", "/.well-known/jwks.json", [])
    etag = (await ways.differ(asked)).header(b"etag")
    assert etag is not None
    assert (await ways.differ(asked._replace(headers=[(b"if-none-match", etag)]))).status == 304


async def test_what_was_damaged(ways: Ways, good: list[Asked]) -> None:
    rng = random.Random(20261124)
    statuses = set()
    for _ in range(400):
        asked = damaged(rng, rng.choice(good))
        answer = await ways.differ(asked)
        statuses.add(answer.status)
        assert answer.status < 500, asked
    assert {200, 400, 401} <= statuses


def damaged(rng: random.Random, asked: Asked) -> Asked:
    """Change, drop or repeat a few bytes of one part of a request."""
    parts: list[bytes] = [asked.body, *(value for _, value in asked.headers)]
    place = rng.randrange(len(parts))
    part = bytearray(parts[place])
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(part))
        match rng.randrange(3):
            case 0:
                part[start : start + rng.randint(0, 4)] = rng.randbytes(rng.randint(1, 3))
            case 1:
                del part[start : start + rng.randint(1, 8)]
            case _:
                part[start:start] = part[: rng.randint(1, 16)]
    parts[place] = bytes(part)
    names = [name for name, _ in asked.headers]
    return asked._replace(body=parts[0], headers=list(zip(names, parts[1:], strict=True)))


async def test_a_fault_is_the_same_fault(
    rt: Runtime, ways: Ways, good: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_given: Any, **_more: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rt.tokens, "verify", break_down)
    me = next(asked for asked in good if asked.path == "/auth/me")
    assert (await ways.differ(me)).status == 500


def test_a_route_that_asks_for_more_is_no_hot_route(settings: Settings) -> None:
    framework = litestar_app(settings, [])
    with pytest.raises(TypeError, match="too much"):
        Hot(framework, [("GET", "/api-keys")])
    with pytest.raises(LookupError):
        Hot(framework, [("GET", "/auth/refresh")])


async def test_what_arrives_in_pieces_is_read_to_its_end(settings: Settings, rt: Runtime) -> None:
    app = build(settings, opened=rt)
    async with app.app.lifespan():
        for pieces, status in (([b"{", b"}"], 401), ([b"x" * 40_000] * 2, 413)):
            assert await in_pieces(app, pieces) == status


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_a_body_in_too_many_pieces_is_refused(
    settings: Settings, rt: Runtime, version: str
) -> None:
    app = build(settings, opened=rt)
    async with app.app.lifespan():
        assert await in_pieces(app, [b" "] * 1024 + [b"{}"], version) == 400


async def in_pieces(app: Edge, pieces: list[bytes], version: str = "1.1") -> int:
    """Send a refresh piece by piece, with chunks in HTTP/1.1; return the status."""
    left = list(pieces)
    sent: list[Any] = []
    announced = [(b"transfer-encoding", b"chunked")] if version == "1.1" else []

    async def receive() -> Any:
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "http_version": version,
        "method": "POST",
        "path": "/auth/refresh",
        "raw_path": b"/auth/refresh",
        "query_string": b"",
        "headers": [(b"host", b"auth.test"), JSON, *announced],
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status
