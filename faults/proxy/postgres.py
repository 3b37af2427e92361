"""Reads PostgreSQL's protocol (version 3) as it passes, and stops at named points of a transaction.

Nothing in the service knows of it: where a transaction is, is on the wire.

`begin`    BEGIN, or the first message of a statement that stands alone, is not sent;
`inside`   the server has answered a statement of the transaction (one that locks, say), and the
           service does not hear it;
`commit`   everything is done and COMMIT (or the Sync of a statement that stands alone) is not sent;
`done`     it is committed, and the service does not hear it.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from faults.proxy.link import Pair

Point: TypeAlias = Literal["begin", "inside", "commit", "done"]

_HEADER = 5
_LENGTH = 4


@dataclass(frozen=True)
class Moment:
    """One message at a point: on which connection, and what the transaction did so far."""

    pair: Pair
    point: Point
    statement: str
    before: tuple[str, ...]
    given: bytes = b""
    """The arguments of the transaction's statements, as they went over the wire."""

    def names(self, *marks: bytes) -> bool:
        """Whether one of these was an argument."""
        return any(mark in self.given for mark in marks)

    def did(self, words: str) -> bool:
        """Whether a statement of the transaction, or this one, has these words."""
        return any(words in text for text in (*self.before, self.statement))


class Tap:
    """Sees all connections of a proxy.  Armed, it holds every moment that matches."""

    def __init__(self) -> None:
        self.held: list[Moment] = []
        self._wanted: Callable[[Moment], bool] | None = None
        self._go = asyncio.Event()
        self._news = asyncio.Event()

    def eyes(self, pair: Pair) -> "_Eyes":
        """Look at one more connection."""
        return _Eyes(self, pair)

    def arm(self, wanted: Callable[[Moment], bool]) -> None:
        """Hold what is wanted from now on."""
        self.held.clear()
        self._go.clear()
        self._wanted = wanted

    def disarm(self) -> None:
        """Let everything go."""
        self._wanted = None
        self._go.set()

    async def reached(self, count: int, seconds: float) -> int:
        """Wait until so many are held, or for so long; return how many are."""
        try:
            async with asyncio.timeout(seconds):
                while len(self.held) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        return len(self.held)

    async def settled(self, count: int, patience: float, quiet: float) -> int:
        """Like `reached`, and it is enough when nothing was added for `quiet` seconds."""
        deadline, found = time.monotonic() + patience, 0
        while found < count and (left := deadline - time.monotonic()) > 0:
            more = await self.reached(found + 1, min(left, quiet if found else left))
            if more == found:
                break
            found = more
        return len(self.held)

    async def pass_by(self, moment: Moment) -> None:
        """Wait here if the moment is wanted."""
        if self._wanted is not None and self._wanted(moment):
            self.held.append(moment)
            self._news.set()
            await self._go.wait()


@dataclass
class _Eyes:
    """One connection's conversation."""

    tap: Tap
    pair: Pair
    _outward: bytes = b""
    _inward: bytes = b""
    _greeted: bool = False
    _statements: dict[str, str] = field(default_factory=dict)
    _now: str = ""
    _given: bytes = b""
    _standing_alone: bool = False
    _done: tuple[str, ...] = ()
    _in_transaction: bool = False

    async def outward(self, piece: bytes) -> AsyncIterator[bytes]:
        """Service to server."""
        self._outward += piece
        if not self._greeted:
            # Startup messages have no type: SSLRequest is not asked for, the address says so.
            length = int.from_bytes(self._outward[:_LENGTH])
            if len(self._outward) < max(length, _LENGTH):
                return
            self._greeted = True
            yield self._outward[:length]
            self._outward = self._outward[length:]
        while (message := _first(self._outward)) is not None:
            self._outward = self._outward[len(message) :]
            await self._look_outward(message[:1], message[_HEADER:])
            yield message

    async def inward(self, piece: bytes) -> AsyncIterator[bytes]:
        """Server to service."""
        self._inward += piece
        while (message := _first(self._inward)) is not None:
            self._inward = self._inward[len(message) :]
            if message[:1] == b"Z":
                await self._look_inward(message[_HEADER:])
            yield message

    async def _look_outward(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"P":
                name, text = itertools.islice(body.split(b"\0"), 2)
                self._statements[name.decode()] = _plain(text.decode())
            case b"B":
                _portal, name, given = body.split(b"\0", 2)
                self._given += given
                self._now = self._statements.get(name.decode(), "")
                self._standing_alone = not self._in_transaction
                if self._standing_alone:
                    await self._at("begin")
            case b"S" if self._standing_alone:
                await self._at("commit")
            case b"Q":
                self._now = body.rstrip(b"\0").decode()
                if self._now == "BEGIN":
                    await self._at("begin")
                elif self._now == "COMMIT":
                    await self._at("commit")

    async def _look_inward(self, status: bytes) -> None:
        """ReadyForQuery: the statement is over, and `status` says whether a transaction is open."""
        before, now = self._in_transaction, self._now
        self._in_transaction = status == b"T"
        if now and before and self._in_transaction:
            await self._at("inside")
        if now == "COMMIT" or (self._standing_alone and now):
            await self._at("done")
        self._standing_alone = False
        if self._in_transaction:
            self._done = (*self._done, now) if before else ()
        else:
            self._done, self._given = (), b""
        self._now = ""

    async def _at(self, point: Point) -> None:
        await self.tap.pass_by(Moment(self.pair, point, self._now, self._done, self._given))


def _plain(statement: str) -> str:
    """Return a statement on one line, without its comments."""
    lines = [line for line in statement.splitlines() if not line.lstrip().startswith("--")]
    return " ".join(" ".join(lines).split())


def _first(buffer: bytes) -> bytes | None:
    """Return the first whole message."""
    if len(buffer) < _HEADER:
        return None
    length = 1 + int.from_bytes(buffer[1:_HEADER])
    return buffer[:length] if len(buffer) >= length else None
