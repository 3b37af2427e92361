"""A process that asks as fast as it is answered, over kept connections, and checks every answer.

`python -m bench.loader`: orders (`Cycle`, `Chains`) on standard input, a `Loaded` for each on
standard output.  It takes processor time from the service on a small machine; a path and its
reference pay the same.
"""

import asyncio
import contextlib
import itertools
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
    once: bool = False
    """Ask each but once, and be done when all are asked."""


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
    together: bool = False
    """One family, and every connection presents its newest token: all but one come too late."""


class Renewals(Struct, frozen=True, tag="renewals"):
    """Refresh chains as OAuth has them: a form, by a client; the answer's token is the next."""

    url: str
    connections: int
    seconds: float
    name: str
    path: str
    basic: tuple[str, str]
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


Order: TypeAlias = Cycle | Chains | Renewals
Asking: TypeAlias = tuple[bytes, Callable[[bytes], None] | None]


class Later(Struct, frozen=True):
    """There is something to ask when everybody has an answer."""


Next: TypeAlias = Callable[[], Asking | Later | None]
"""Gives a request, and who is to be told its answer; None when there is no more."""


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
        asking = None if self._load.over else self._load.next()
        if asking is None:
            self._load.leave(self)
        elif isinstance(asking, Later):
            self._load.wait(self)
        else:
            self._ask(*asking)

    def _ask(self, asked: bytes, wants: Callable[[bytes], None] | None) -> None:
        self._wants = wants
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
            self._wants(data)
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
        self._waiting: list[_Connection] = []
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
        self._turn()

    def wait(self, connection: _Connection) -> None:
        """A connection goes on when everybody has an answer."""
        self._waiting.append(connection)
        self._turn()

    def _turn(self) -> None:
        if not self._waiting or len(self._waiting) < len(self._busy):
            return
        if isinstance(self.next, Hammer):
            self.next.turn()
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.send()

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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(order.seconds):
                await self._idle.wait()  # before its time: all that was to be asked once
        patience = time.perf_counter() + _PATIENCE_SECONDS
        while len(self.times) < order.least and self._busy:
            await asyncio.sleep(0.02)
            if time.perf_counter() > patience:
                break
        self.over = True
        self._turn()
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


def cycling(requests: list[bytes], *, once: bool = False) -> Next:
    """Give requests in turn, over and over or once."""
    turns = iter(requests) if once else itertools.cycle(requests)

    def give() -> Asking | None:
        asked = next(turns, None)
        return None if asked is None else (asked, None)

    return give


class Hammer:
    """Gives refreshes of one family, the same token to all; the next when all have answers.

    That is what ten tabs do.  Whoever presented an older token still would be a thief.
    """

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._presented = tokens[0]

    def __call__(self) -> Asking | Later:
        """Give one, or let it wait."""
        if self._tokens[0] != self._presented:
            return Later()
        return request("POST", "/auth/refresh", cookie=self._presented, json={}), self._renewed

    def turn(self) -> None:
        """All have answers."""
        self._presented = self._tokens[0]

    def _renewed(self, head: bytes) -> None:
        self._tokens[0] = refresh_token(head) or self._tokens[0]


def chaining(tokens: list[str]) -> Next:
    """Give refreshes of the families in turn, never two of one family at a time."""

    def give() -> Asking:
        token = tokens.pop(0)

        def renewed(head: bytes) -> None:
            tokens.append(refresh_token(head) or token)

        return request("POST", "/auth/refresh", cookie=token, json={}), renewed

    return give


def renewing(order: Renewals, tokens: list[str]) -> Next:
    """Give refreshes of the chains in turn, never two of one chain at a time."""

    def give() -> Asking:
        token = tokens.pop(0)

        def renewed(answer: bytes) -> None:
            body = answer.partition(b"\r\n\r\n")[2]
            with contextlib.suppress(msgspec.DecodeError, KeyError):
                tokens.append(msgspec.json.decode(body)["refresh_token"])

        form = {"grant_type": "refresh_token", "refresh_token": token}
        return request("POST", order.path, basic=order.basic, form=form), renewed

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
                give = cycling(order.requests, once=order.once)
            case Chains():
                tokens = chains.setdefault(order.name, list(order.tokens))
                give = Hammer(tokens) if order.together else chaining(tokens)
            case Renewals():
                give = renewing(order, chains.setdefault(order.name, list(order.tokens)))
        loaded = await _Load(order, give).run(order)
        sys.stdout.buffer.write(msgspec.json.encode(loaded) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
