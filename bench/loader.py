"""A process that asks as fast as it is answered, over kept connections, and checks every answer.

`python -m bench.loader`: orders (`Cycle`, `Chains`) on standard input, a `Loaded` for each on
standard output.  It takes processor time from the service on a small machine; a path and its
reference pay the same.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TypeAlias, cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from msgspec import Struct

from bench.figures import percentile
from bench.wire import content_length, request

_COOKIE = b"\r\nset-cookie: __Host-refresh="
_PATIENCE_SECONDS = 30.0


class Cycle(Struct, frozen=True, tag="cycle"):
    """Requests made beforehand, in turn; each must be answered with `expected`."""

    url: str
    connections: int
    seconds: float
    expected: int
    requests: list[bytes]
    least: int = 0
    """Go on until there were so many answers, also beyond the time."""


class Chains(Struct, frozen=True, tag="chains"):
    """Refresh chains: each answer's token is the next request's, family by family.

    `tokens` begin the chains of a name; later orders of that name go on from where they are.
    """

    url: str
    connections: int
    seconds: float
    name: str
    tokens: list[str]
    expected: int = 200
    least: int = 0


class Loaded(Struct, frozen=True):
    """How often, in what time, and how long it took; `strange` counts answers not expected."""

    answers: int
    seconds: float
    p50: float
    p99: float
    strange: dict[str, int]


Order: TypeAlias = Cycle | Chains
Next: TypeAlias = Callable[[], tuple[bytes, Callable[[bytes], None] | None]]
"""Gives a request, and who is to be told the head of its answer."""


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0
        self._wants: Callable[[bytes], None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # it is TCP

    def send(self) -> None:
        """Ask the next thing, or be done."""
        if self._load.over:
            self._load.leave(self)
            return
        asked, self._wants = self._load.next()
        self._sent = time.perf_counter()
        self.transport.write(asked)

    def data_received(self, data: bytes) -> None:
        """Take a whole answer, then go on."""
        data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or len(data) < end + content_length(data[:end]):  # noqa: PLR2004
            self._buffer = data
            return
        self._buffer = b""
        self._load.note(data[9:12], time.perf_counter() - self._sent)
        if self._wants is not None:
            self._wants(data[:end])
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lose(self, exc)


class _Load:
    """One order under way."""

    def __init__(self, order: Order, give: Next) -> None:
        self.next = give
        self.over = False
        self.strange: dict[str, int] = {}
        self.times: list[float] = []
        self._expected = str(order.expected).encode()
        self._busy: set[_Connection] = set()
        self._idle = asyncio.Event()

    def note(self, status: bytes, seconds: float) -> None:
        """Count an answer."""
        self.times.append(seconds)
        if status != self._expected:
            self._complain(status.decode(errors="replace"))

    def leave(self, connection: _Connection) -> None:
        """A connection has its last answer."""
        self._busy.discard(connection)
        if not self._busy:
            self._idle.set()

    def lose(self, connection: _Connection, exc: Exception | None) -> None:
        """A connection ended, which only we may do."""
        if connection in self._busy:
            self._complain(f"connection lost: {type(exc).__name__}")
            self.leave(connection)

    def _complain(self, what: str) -> None:
        self.strange[what] = self.strange.get(what, 0) + 1

    async def run(self, order: Order) -> Loaded:
        """Ask for as long as the order says, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        where = urlsplit(order.url)
        opened = [
            (
                await loop.create_connection(
                    lambda: _Connection(self), where.hostname or "", where.port or 80
                )
            )[1]
            for _ in range(order.connections)
        ]
        self._busy.update(opened)
        began = time.perf_counter()
        for connection in opened:
            connection.send()
        await asyncio.sleep(order.seconds)
        patience = time.perf_counter() + _PATIENCE_SECONDS
        while len(self.times) < order.least and time.perf_counter() < patience:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self.over = True
        answers, seconds = len(self.times), time.perf_counter() - began
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            self._complain("no answer")
        self._busy.clear()
        for connection in opened:
            connection.transport.close()
        times = self.times or [0.0]
        return Loaded(
            answers, seconds, percentile(times, 0.5), percentile(times, 0.99), self.strange
        )


def cycling(requests: list[bytes]) -> Next:
    """Give requests in turn."""
    place = -1

    def give() -> tuple[bytes, None]:
        nonlocal place
        place = (place + 1) % len(requests)
        return requests[place], None

    return give


def chaining(tokens: list[str]) -> Next:
    """Give refreshes of the families in turn, never two of one family at a time."""

    def give() -> tuple[bytes, Callable[[bytes], None]]:
        token = tokens.pop(0)

        def renewed(head: bytes) -> None:
            tokens.append(refresh_token(head) or token)

        return request("POST", "/auth/refresh", cookie=token, json={}), renewed

    return give


def refresh_token(head: bytes) -> str:
    """Return the refresh token that an answer sets; empty when it sets none."""
    _, _, after = head.partition(_COOKIE)
    return after.partition(b";")[0].decode()


async def main() -> None:
    """Do each order, in turn."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(Order)
    chains: dict[str, list[str]] = {}
    while line := await reader.readline():
        order = decoder.decode(line)
        match order:
            case Cycle():
                give = cycling(order.requests)
            case Chains():
                give = chaining(chains.setdefault(order.name, list(order.tokens)))
        loaded = await _Load(order, give).run(order)
        sys.stdout.buffer.write(msgspec.json.encode(loaded) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
