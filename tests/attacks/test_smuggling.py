"""A46: bytes that a proxy and we might read as different requests are refused, on the wire.

Beside them: bodies that end too soon or whose chunks are none (D6) are the sender's fault.
"""

import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.processes import Running, service

LOGIN = "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
TOKEN = LOGIN.replace("/auth/login", "/oauth/token").replace("json", "x-www-form-urlencoded")
CHUNKED = "Transfer-Encoding: chunked\r\n"

REFUSED = {
    "two lengths": f"{LOGIN}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}a",
    "a length with a sign": f"{LOGIN}Content-Length: +2\r\n\r\n{{}}",
    "a folded line": f"{LOGIN} folded: x\r\nContent-Length: 2\r\n\r\n{{}}",
    "a space before the colon": f"{LOGIN}Content-Length : 2\r\n\r\n{{}}",
    "chunks that are none": f"{LOGIN}{CHUNKED}\r\nzz\r\n",
    "chunks that end too soon": f"{LOGIN}{CHUNKED}\r\n5\r\n{{}}\r\n",
    "chunks that are none, to OAuth": f"{TOKEN}{CHUNKED}\r\nzz\r\n",
    "a body that ends too soon": f"{LOGIN}Content-Length: 20\r\n\r\n{{}}",
}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    async with service() as running:
        yield running


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_and_the_connection_is_over(running: Running, name: str) -> None:
    told = sent(running, REFUSED[name].encode())
    assert told.count(b"HTTP/1.1 ") <= 1, told
    assert told == b"" or told.startswith(b"HTTP/1.1 400 "), told
    assert '"event":"fault"' not in running.output()


async def test_of_a_length_and_chunks_the_chunks_count_and_nothing_is_read_behind_them(
    running: Running,
) -> None:
    smuggled = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    asked = f"{LOGIN}{CHUNKED}Content-Length: 6\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"
    told = sent(running, asked.encode())
    assert told.count(b"HTTP/1.1 ") == 1, told
    assert told.startswith(b"HTTP/1.1 400 "), told


def sent(running: Running, asked: bytes) -> bytes:
    """Send, say that nothing follows, and return everything that comes back."""
    where = urlsplit(running.url)
    with socket.create_connection((where.hostname or "", where.port or 0), 10) as wire:
        wire.sendall(asked)
        wire.shutdown(socket.SHUT_WR)
        told = b""
        while piece := wire.recv(2**16):
            told += piece
        return told
