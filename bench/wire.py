"""HTTP/1.1 over one kept connection: as little as a client can be, so that it measures the server.

Requests are bytes made beforehand.
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlencode, urlsplit

import msgspec

from service.embedded.process import worker_serving

_MOST_CONNECTIONS = 200


class Answer(NamedTuple):
    """A status, a body, and when (monotonic, seconds) its head had been read."""

    status: int
    body: bytes
    at: float


class WireError(Exception):
    """The connection ended, or what came is no answer."""


def request(
    method: str,
    path: str,
    *,
    bearer: str = "",
    basic: tuple[str, str] | None = None,
    cookie: str = "",
    json: object = None,
    form: Mapping[str, str] | None = None,
) -> bytes:
    """Make a request; `cookie` is a refresh token, `json` or `form` the body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if basic is not None:
        pair = base64.b64encode(":".join(basic).encode()).decode()
        lines.append(f"Authorization: Basic {pair}")
    if cookie:
        lines.append(f"Cookie: __Host-refresh={cookie}")
    content = b""
    if json is not None:
        content = msgspec.json.encode(json)
        lines.append("Content-Type: application/json")
    elif form is not None:
        content = urlencode(form).encode()
        lines.append("Content-Type: application/x-www-form-urlencoded")
    if method != "GET":
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


class Wire:
    """One connection; one question at a time, others wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect."""
        where = urlsplit(url)
        return cls(*await asyncio.open_connection(where.hostname, where.port))

    @property
    def port(self) -> int:
        """The port it comes from."""
        return int(self._writer.get_extra_info("sockname")[1])

    async def ask(self, asked: bytes) -> Answer:
        """Send a request and return the answer.  WireError when there is none."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            self._writer.write(asked)
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                at = loop.time()
                status = int(head[9:12])
                body = await self._reader.readexactly(content_length(head))
            except (OSError, ValueError, asyncio.IncompleteReadError) as exc:
                raise WireError(f"{type(exc).__name__}: {exc}") from exc
        return Answer(status, body, at)

    async def close(self) -> None:
        """Close."""
        self._writer.close()


def content_length(head: bytes) -> int:
    """Return how long the body is; an answer without the header has none (204)."""
    _, _, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if after else 0


async def wires_to(url: str, workers: list[int], worker: int, count: int) -> list[Wire]:
    """Open `count` connections that one worker serves.

    All workers share one port, so none can be addressed: connections are opened until enough of
    them are held by that process, as the kernel tells (`worker_serving`), and kept alive.
    """
    kept: list[Wire] = []
    spare: list[Wire] = []
    while len(kept) < count:
        if len(spare) > _MOST_CONNECTIONS:
            raise WireError("the kernel gives every connection to another worker")
        wire = await Wire.open(url)
        await wire.ask(request("GET", "/healthz"))  # answered: so it is accepted
        (kept if worker_serving(url, workers, wire.port) == worker else spare).append(wire)
    for wire in spare:
        await wire.close()
    return kept
