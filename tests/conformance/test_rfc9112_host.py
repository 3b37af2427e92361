"""RFC 9112 section 3.2: a request names exactly one host, and one that can be."""

import json
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.processes import Running, service

LOGIN = "POST /auth/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
SERVED = [
    "a",
    "localhost:8080",
    "auth.acme.example",
    "auth.acme.example.",
    "auth.acme.example:",
    "auth_1:65535",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]",
    "[2001:db8::1]:443",
    "[::ffff:192.0.2.1]",
    "x" * 63 + ".example",
]
REFUSED = [
    "",
    "user@host",
    "user:password@host",
    "a b",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "http://a",
    "a,b",
    "a, b",
    "a;b",
    "a%20b",
    "%61",
    "a:80:80",
    "a:x",
    "a:-1",
    "a:+80",
    "a:65536",
    "a:000080",
    ":80",
    ".",
    ".a",
    "a..b",
    "*.a",
    "[::1",
    "::1",
    "[::1]80",
    "[::1]:x",
    "[::g]",
    "[1:2]",
    "[fe80::1%25eth0]",
    "[v1.x]",
    "[]",
    "<a>",
    '"a"',
    "a\xe9",
    "a\tb",
    "x" * 64,
    "x." * 200,
]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    async with service() as running:
        yield running


@pytest.mark.parametrize("host", SERVED)
async def test_what_may_be_a_host_is_served(running: Running, host: str) -> None:
    assert _ask(running, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")[0] == 200


@pytest.mark.parametrize("host", REFUSED)
async def test_what_cannot_be_one_is_refused(running: Running, host: str) -> None:
    for asked in ("GET /healthz HTTP/1.1\r\n", "GET /auth/me HTTP/1.1\r\n", LOGIN):
        _is_problem(_ask(running, f"{asked}Host: {host}\r\n\r\n{{}}"))


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "X-Forwarded-Host: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost:\r\n",
        "Host: a\r\nX: y\r\nhOST: a\r\nX: y\r\n",
    ],
)
async def test_none_and_two_are_refused(running: Running, fields: str) -> None:
    _is_problem(_ask(running, f"GET /auth/me HTTP/1.1\r\n{fields}\r\n"))
    _is_problem(_ask(running, f"OPTIONS /auth/login HTTP/1.1\r\n{fields}\r\n"))


async def test_http_1_0_did_not_know_it(running: Running) -> None:
    """Health checks of load balancers are such."""
    assert _ask(running, "GET /readyz HTTP/1.0\r\n\r\n")[0] == 200
    assert _ask(running, "GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:8080\r\n\r\n")[0] == 200
    for fields in ("Host: user@a\r\n", "Host: a\r\nHost: b\r\n"):
        _is_problem(_ask(running, f"GET /readyz HTTP/1.0\r\n{fields}\r\n"))


async def test_a_target_that_is_a_whole_url_is_served_under_its_host(running: Running) -> None:
    """RFC 9112 section 3.2.2; a URL with no host is none."""
    asked = "GET http://auth.acme.example/healthz HTTP/1.1\r\n"
    assert _ask(running, f"{asked}Host: auth.acme.example\r\n\r\n")[0] == 200
    for target in ("http:///healthz", "http://"):
        told = _ask(running, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
        assert told[0] == 400
    _is_problem(_ask(running, f"{asked}Host:\r\n\r\n"))
    _is_problem(_ask(running, f"{asked}Host: a b\r\n\r\n"))


def _is_problem(told: tuple[int, str, bytes]) -> None:
    status, head, body = told
    assert status == 400
    assert "content-type: application/problem+json" in head
    problem = json.loads(body)
    assert problem["type"] == "urn:tesserra:refusal:invalid_request"
    assert problem["detail"].startswith("Host: exactly one")
    assert f"x-request-id: {problem['request_id']}" in head
    assert "x-content-type-options: nosniff" in head


def _ask(running: Running, asked: str) -> tuple[int, str, bytes]:
    """Send bytes as they are, and return status, headers and body."""
    where = urlsplit(running.url)
    with socket.create_connection((where.hostname or "", where.port or 0), 10) as wire:
        wire.sendall(asked.replace("\r\n", "\r\nConnection: close\r\n", 1).encode("latin-1"))
        told = b"".join(iter(lambda: wire.recv(2**16), b""))
    head, _, body = told.partition(b"\r\n\r\n")
    return int(told.split(b" ")[1]), head.decode("latin-1").lower(), body
