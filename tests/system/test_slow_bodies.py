"""A body that does not come, or comes by the drop: 408, and the connection ends."""

import asyncio
import json
import time
from urllib.parse import urlsplit

import pytest

from tests.processes import Running, service

PATIENCE = 10.0
HEAD = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: 900\r\n\r\n"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("drop", [b"", b" "], ids=["nothing", "drops"])
async def test_a_body_is_not_waited_for_without_end(drop: bytes) -> None:
    async with service() as running:
        hot, oauth, framework = await asyncio.gather(
            slowly(running, "/api-keys/verify", JSON, drop),
            slowly(running, "/oauth/token", FORM, drop),
            slowly(running, "/auth/login", JSON, drop),
        )
    for told in (hot, framework):
        assert told["type"] == "urn:tesserra:refusal:too_slow"
        assert told["status"] == 408
    assert oauth == {
        "error": "invalid_request",
        "error_description": "send the body at once",
    }


async def slowly(running: Running, path: str, kind: str, drop: bytes) -> dict[str, object]:
    """Send a head, then drops until there is an answer; return the answer's body."""
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(HEAD.format(path, kind).encode())
    began = time.monotonic()
    answer = asyncio.create_task(reader.read())  # to its end: the connection is closed
    while not answer.done() and time.monotonic() - began < PATIENCE + 10:
        writer.write(drop)
        await asyncio.wait({answer}, timeout=0.5)
    took = time.monotonic() - began
    writer.close()
    assert PATIENCE - 0.5 < took < PATIENCE + 5
    head, _, body = (await answer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close" in head.lower()
    found: dict[str, object] = json.loads(body)
    return found
