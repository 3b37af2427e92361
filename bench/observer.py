"""A process that presents tokens, over and over, and notes until when each was accepted.

`python -m bench.observer`: the first line on standard input says where it stands (`AtWorker` or
`AtVerifier`), the following which tokens to present (`Watch`) and which no more (`Leave`); what it
saw goes to standard output.  One JSON object per line.

The time of an acceptance is when its answer was here, never when the decision was made: the figures
are too long rather than too short.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct
from tesserra_verifier import InvalidTokenError, UnavailableError, Verifier

from bench.wire import Wire, WireError, request, wires_to

ROUND_SECONDS = 0.005
"""Between two looks at a token that is still accepted: the resolution of the figures."""

AGAIN_SECONDS = 0.25
"""Between two looks at a token that was refused: it must stay so."""

_INACTIVE = b'{"active":false}'
_OK, _UNAUTHORIZED = 200, 401
_DEAD = ("revoked", "unknown key")
"""Why a verifier refuses what was revoked; a killed key is gone from its keys as well."""


class AtWorker(Struct, frozen=True, tag="worker"):
    """One worker of the service, at its bearer routes and its introspection."""

    url: str
    workers: list[int]
    worker: int
    client_id: str
    client_secret: str


class AtVerifier(Struct, frozen=True, tag="verifier"):
    """The verifier library, in a process of its own as in another service."""

    url: str
    issuer: str
    client_id: str
    client_secret: str


class Watch(Struct, frozen=True, tag="watch"):
    """A token to present; `path` is a route of the service that takes it."""

    name: int
    token: str
    path: str
    every: float = ROUND_SECONDS
    """Seconds between two looks while it is accepted."""


class Leave(Struct, frozen=True, tag="leave"):
    """Present it no more, and tell what was seen."""

    name: int


class Tell(Struct, frozen=True, tag="tell"):
    """Tell what was seen, and go on as if nothing had been."""

    name: int


class Sweep(Struct, frozen=True, tag="sweep"):
    """Present each of all tokens that were ever to be watched once more."""


class Accepted(Struct, frozen=True, tag="accepted"):
    """A token was accepted everywhere at least once."""

    name: int


class Seen(Struct, frozen=True, tag="seen"):
    """What one place answered about one token.  Times are monotonic seconds."""

    name: int
    place: str
    accepted: int
    refused: int
    last_accepted: float
    first_refused: float
    back: int
    """Acceptances after a refusal: it came back to life."""
    strange: dict[str, int]
    """Answers that are neither yes nor no, and how often."""


class Swept(Struct, frozen=True, tag="swept"):
    """Which tokens were accepted in a sweep, where (place, name), and what else was answered."""

    looked: int
    accepted: list[tuple[str, int]]
    strange: dict[str, int]


Order: TypeAlias = Watch | Leave | Tell | Sweep
Report: TypeAlias = Accepted | Seen | Swept
Verdict: TypeAlias = Literal["accepted", "refused"] | str  # noqa: PYI051 - or what it was instead
Present: TypeAlias = Callable[[Watch], Awaitable[Verdict]]

_encode = msgspec.json.Encoder().encode
REPORTS: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)
_standpoint = msgspec.json.Decoder(AtWorker | AtVerifier)
_order = msgspec.json.Decoder(Order)


class _Note:
    """What one place says of one token."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.accepted = self.refused = self.back = 0
        self.last_accepted = self.first_refused = 0.0
        self.due = 0.0
        self.strange: dict[str, int] = {}

    def add(self, verdict: Verdict) -> None:
        now = time.monotonic()
        self.due = now + self.watch.every
        if verdict == "accepted":
            self.accepted += 1
            self.back += self.refused > 0
            self.last_accepted = now
        elif verdict == "refused":
            self.refused += 1
            self.first_refused = self.first_refused or now
            self.due = now + AGAIN_SECONDS
        else:
            self.strange[verdict] = self.strange.get(verdict, 0) + 1

    def seen(self, place: str) -> Seen:
        return Seen(
            self.watch.name,
            place,
            self.accepted,
            self.refused,
            self.last_accepted,
            self.first_refused,
            self.back,
            self.strange,
        )


class Observer:
    """Presents tokens at some places at once, each as fast as it answers."""

    def __init__(self, places: dict[str, Present], tell: Callable[[Report], None]) -> None:
        self._places = places
        self._tell = tell
        self._notes: dict[str, dict[int, _Note]] = {place: {} for place in places}
        self._all: dict[int, Watch] = {}
        self._eager: set[int] = set()

    async def run(self, orders: AsyncIterator[Order]) -> None:
        """Do as told until there are no more orders."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._stand(place, present))
                for place, present in self._places.items()
            ]
            async for order in orders:
                match order:
                    case Watch():
                        self._all[order.name] = order
                        self._eager.add(order.name)
                        for notes in self._notes.values():
                            notes[order.name] = _Note(order)
                    case Leave():
                        for place, notes in self._notes.items():
                            self._tell(notes.pop(order.name).seen(place))
                    case Tell():
                        for place, notes in self._notes.items():
                            self._tell(notes[order.name].seen(place))
                            notes[order.name] = _Note(notes[order.name].watch)
                    case Sweep():
                        self._tell(await self._sweep())
            for task in tasks:
                task.cancel()

    async def _stand(self, place: str, present: Present) -> None:
        notes = self._notes[place]
        while True:
            now = time.monotonic()
            for note in [note for note in notes.values() if note.due <= now]:
                note.add(await present(note.watch))
                if note.watch.name in self._eager:
                    self._tell_accepted(note.watch.name)
            await asyncio.sleep(ROUND_SECONDS)

    def _tell_accepted(self, name: int) -> None:
        if all(notes[name].accepted for notes in self._notes.values() if name in notes):
            self._eager.discard(name)
            self._tell(Accepted(name))

    async def _sweep(self) -> Swept:
        accepted: list[tuple[str, int]] = []
        strange: dict[str, int] = {}
        looked = 0
        for place, present in self._places.items():
            for name, watch in self._all.items():
                verdict = await present(watch)
                looked += 1
                if verdict == "accepted":
                    accepted.append((place, name))
                elif verdict != "refused":
                    strange[verdict] = strange.get(verdict, 0) + 1
        return Swept(looked, accepted, strange)


# --- where it stands --------------------------------------------------------------------------


@asynccontextmanager
async def places_of(stands: AtWorker | AtVerifier) -> AsyncIterator[dict[str, Present]]:
    """Yield the places of a standpoint."""
    async with AsyncExitStack() as stack:
        if isinstance(stands, AtVerifier):
            verifier = Verifier(
                stands.issuer,
                stands.issuer,
                stands.client_id,
                stands.client_secret,
                base_url=stands.url,
            )
            await stack.enter_async_context(verifier)
            yield {"verifier": lambda watch: _by_verifier(verifier, watch)}
            return
        bearer, introspection = await wires_to(stands.url, stands.workers, stands.worker, 2)
        for wire in (bearer, introspection):
            stack.push_async_callback(wire.close)
        basic = (stands.client_id, stands.client_secret)
        yield {
            "bearer": lambda watch: _by_bearer(bearer, watch),
            "introspection": lambda watch: _by_introspection(introspection, basic, watch),
        }


async def _by_verifier(verifier: Verifier, watch: Watch) -> Verdict:
    try:
        await verifier.verify(watch.token)
    except InvalidTokenError as exc:
        return "refused" if exc.reason in _DEAD else f"verifier: {exc.reason}"
    except UnavailableError as exc:
        return f"verifier: {exc}"[:80]
    return "accepted"


async def _by_bearer(wire: Wire, watch: Watch) -> Verdict:
    try:
        answer = await wire.ask(request("GET", watch.path, bearer=watch.token))
    except WireError as exc:
        return str(exc)
    if answer.status == _OK:
        return "accepted"
    return "refused" if answer.status == _UNAUTHORIZED else f"{watch.path[:12]}: {answer.status}"


async def _by_introspection(wire: Wire, basic: tuple[str, str], watch: Watch) -> Verdict:
    asked = request("POST", "/oauth/introspect", basic=basic, form={"token": watch.token})
    try:
        answer = await wire.ask(asked)
    except WireError as exc:
        return str(exc)
    if answer.status != _OK:
        return f"introspection: {answer.status}"
    return "refused" if answer.body == _INACTIVE else "accepted"


# --- the process ------------------------------------------------------------------------------


async def main() -> None:
    """Stand where the first line says, and observe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def tell(report: Report) -> None:
        sys.stdout.buffer.write(_encode(report) + b"\n")
        sys.stdout.buffer.flush()

    async def orders() -> AsyncIterator[Order]:
        while line := await reader.readline():
            yield _order.decode(line)

    stands = _standpoint.decode(await reader.readline())
    async with places_of(stands) as places:
        tell(Accepted(-1))  # it stands
        await Observer(places, tell).run(orders())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(main())
