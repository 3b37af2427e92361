"""A body that nobody wants is read and ignored: the connection's next request is answered.

One rule for all routes, through the real server: sent with a length or in chunks, one request after
the other or all at once.  What is too long to be ignored is refused before anything is done.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx2
import pytest

from tests import given
from tests.processes import Running, service
from tests.system.visitors import UNLIMITED, inside

BODY = b'{"reason": "because", "more": [1, 2, 3]}'
LENGTH = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n3\r\nabc\r\n0\r\n\r\n" % (len(BODY), BODY)
Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
UNLOCKING = "[limits.unlock]\ncount = 1000\nwindow = 60\n"
ENOUGH = 64 * 1024
SOMEBODY = "0198c0de-0000-7000-8000-000000000000"
ROUTES = (
    ("POST /auth/logout", 204),
    ("POST /auth/logout-all", 401),
    (f"POST /admin/users/{SOMEBODY}/disable", 404),
    (f"POST /admin/users/{SOMEBODY}/unlock", 404),
    (f"POST /admin/users/{SOMEBODY}/end-sessions", 404),
    ("GET /auth/me", 200),
    ("GET /healthz", 200),
    ("GET /.well-known/jwks.json", 200),
    (f"DELETE /auth/sessions/{SOMEBODY}", 404),
    ("POST /nothing", 404),
    ("PATCH /auth/me", 405),
    ("OPTIONS /auth/me", 204),
    ("POST /auth//logout", 404),
)


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    async with service(policy=UNLIMITED + UNLOCKING) as running:
        yield running


@pytest.fixture(scope="module")
async def token(running: Running) -> str:
    async with inside(running) as rt:
        person = await given.a_person(rt, "root@acme.example", role="owner", platform_admin=True)
    async with httpx2.AsyncClient(base_url=running.url) as client:
        body = {"email": person.email, "password": person.password}
        return str((await client.post("/auth/login", json=body)).json()["access_token"])


@pytest.fixture
async def connection(running: Running) -> AsyncIterator[Connection]:
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    yield reader, writer
    writer.close()
    await writer.wait_closed()


def head(name: str, token: str, more: bytes) -> bytes:
    shown = "" if "logout" in name else f"authorization: Bearer {token}\r\n"
    return f"{name} HTTP/1.1\r\nhost: x\r\n{shown}".encode() + more


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer; return its status and its head."""
    async with asyncio.timeout(30):
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        for line in told.split(b"\r\n"):
            if line.startswith(b"content-length: "):
                await reader.readexactly(int(line.partition(b": ")[2]))
    return int(told.split()[1]), told


@pytest.mark.parametrize("body", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_one_connection_serves_all_that_is_sent_over_it_one_after_the_other(
    connection: Connection, token: str, body: bytes
) -> None:
    reader, writer = connection
    for name, status in ROUTES * 2:
        writer.write(head(name, token, body))
        found, told = await answered(reader)
        assert found == status, (name, told)
        assert b"connection: close" not in told, name


@pytest.mark.parametrize("body", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_one_connection_serves_all_that_is_sent_over_it_at_once(
    connection: Connection, token: str, body: bytes
) -> None:
    reader, writer = connection
    writer.write(b"".join(head(name, token, body) for name, _ in ROUTES))
    assert [(await answered(reader))[0] for _ in ROUTES] == [status for _, status in ROUTES]


@pytest.mark.parametrize("name", ["POST /auth/logout", "GET /auth/me", "POST /nothing"])
async def test_what_is_too_long_to_be_ignored_ends_the_connection_and_says_so(
    connection: Connection, token: str, name: str
) -> None:
    reader, writer = connection
    writer.write(head(name, token, b"content-length: %d\r\n\r\n" % (ENOUGH + 1)))
    writer.write(b"x" * 1000)
    found, told = await answered(reader)
    assert found == (404 if "nothing" in name else 413)
    assert b"connection: close" in told
