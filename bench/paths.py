"""The hot paths, each with its reference in the same run.

Paths and references take turns, round by round, so that a machine that slows down slows both; the
ratio of their medians is the result, and absolute figures are of this machine on this day.  An
answer that is not the expected one anywhere, warm-up included, fails the run.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from bench import chart
from bench.children import Child, child
from bench.deployment import PASSWORD, Deployment, ServiceAccount, Visitor, deployed
from bench.figures import median
from bench.floor import Hashes, Reached, Rotations, Verifications
from bench.loader import Chains, Cycle, Loaded, Renewals
from bench.machine import Machine, describe_machine
from bench.processes import cpu_seconds, family, memory_mib
from bench.wire import Wire, request
from service.embedded.checkout import ROOT
from service.embedded.servers import free_port, launched
from service.flows.oauth.client_credentials import mint_for_client
from service.kernel import jose

RESULTS = Path(__file__).parent / "results"
"""What the last whole runs said."""
_FLOOD_SECONDS = 0.5
"""Before those who are measured beside it begin."""

REACHED: msgspec.json.Decoder[Reached] = msgspec.json.Decoder(Reached)
LOADED: msgspec.json.Decoder[Loaded] = msgspec.json.Decoder(Loaded)


def main_connections(connections: Collection[int]) -> int:
    """Return the number of connections that goals are for."""
    return 32 if 32 in connections else min(connections)  # noqa: PLR2004 - as said


class Plan(Struct, frozen=True):
    """How much of it."""

    rounds: int
    seconds: float
    workers: tuple[int, ...]
    connections: tuple[int, ...]
    tokens: int
    warm: float = 0.5
    """Seconds; PostgreSQL plans a statement anew the first five times, on each connection."""

    @property
    def main(self) -> int:
        """The number of connections of the goals."""
        return main_connections(self.connections)


FULL = Plan(3, 4.0, (1, 2), (1, 32, 256), 1_000, warm=3.0)
QUICK = Plan(3, 1.5, (1,), (32,), 1_000)


class Goal(Struct, frozen=True):
    """A ratio to reach, to which reference."""

    reference: str
    ratio: float


class Round(Struct, frozen=True):
    """One round of one path: rates per second, times in seconds, CPU in seconds per answer."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    cpu: dict[str, float] = {}


class Measured(Struct, frozen=True):
    """A path at some number of workers and connections."""

    path: str
    workers: int
    connections: int
    rounds: list[Round]
    memory_mib: list[float] = []
    """Of each worker, after the last round."""

    @property
    def rate(self) -> float:
        """The median of the rounds, per second."""
        return median([one.rate for one in self.rounds])

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, as a share of their median."""
        rates = [one.rate for one in self.rounds]
        return (max(rates) - min(rates)) / self.rate if self.rate else 0.0

    def cpu(self, whose: str) -> float:
        """Microseconds of processor time per answer."""
        return median([one.cpu.get(whose, 0.0) for one in self.rounds]) * 1e6


class Result(Struct, frozen=True):
    """The whole run."""

    machine: Machine
    measured: list[Measured]
    problems: list[str]


GOALS: dict[str, tuple[Goal, ...]] = {
    "jwks": (Goal("bare bytes", 0.80),),
    "me": (Goal("bare struct", 0.55),),
    "introspect": (Goal("bare struct", 0.40),),
    "api-keys/verify": (Goal("bare struct", 0.50),),
    "client_credentials": (Goal("bare struct", 0.25),),
    "refresh": (Goal("bare struct", 0.16), Goal("rotation loop", 0.5)),
    "login": (Goal("hash loop", 0.90),),
}

P99 = {"refresh beside logins": 0.1}
"""Seconds that 99 of 100 answers must not take longer than."""

MEMORY_MIB = 120
HASHING_MIB = 2 * 19
"""Of a worker; and what its threads hash in."""

Order: TypeAlias = Cycle | Chains | Renewals | Hashes | Rotations | Verifications
Ask: TypeAlias = Callable[[int, float], Order]
"""Makes the order for so many connections and seconds."""


class HotPath(Struct, frozen=True):
    """Something to measure: who does it, and who is charged for processor time."""

    title: str
    ask: Ask
    charged: Callable[[], dict[str, list[int]]]
    connections: int | None = None
    """Always so many; None: as the plan says."""
    wide: bool = True
    """Whether it is measured at every number of connections of the plan, or at the main one."""
    beside: Ask | None = None
    """What another loader asks meanwhile."""


class Bench:
    """A deployment, a reference beside it, a loader, and what was measured."""

    def __init__(
        self,
        plan: Plan,
        made: Deployment,
        loader: Child[Loaded],
        floor: Child[Reached],
        reference: "Reference",
        other_loader: Child[Loaded] | None = None,
    ) -> None:
        self.plan = plan
        self.made = made
        self._loader = loader
        self._floor = floor
        self._reference = reference
        self._other_loader = other_loader
        self.problems: list[str] = []

    async def paths(self) -> list[HotPath]:
        """Make people and services, and what they will ask."""
        made, plan = self.made, self.plan
        organization = await made.organization()
        people = [await made.person(organization) for _ in range(min(plan.tokens, 50))]
        visitors = [
            await made.visitor(people[n % len(people)], organization) for n in range(plan.tokens)
        ]
        apart = [await made.visitor(people[0], organization) for _ in range(64)]
        alone = await made.visitor(people[0], organization)
        service = await made.client("agentes")
        reader = await made.client("revocations:read")
        basic = (service.client.client_id, service.secret)
        checker = await made.client("api-keys:verify")
        administrator = await made.administrator()
        keys = [(await made.api_key(administrator)).secret for _ in range(min(plan.tokens, 200))]
        emails = [person.email for person in people]
        url, there = made.url, self._reference.url
        logins = [
            request("POST", "/auth/login", json={"email": email, "password": PASSWORD})
            for email in emails
        ]
        refreshes = [v.refresh_token for v in visitors]
        await self._revoke_some(service, basic, 200)
        return [
            self._of("bare bytes", there, [request("GET", "/bytes")]),
            self._of("bare struct", there, [request("GET", "/struct")]),
            HotPath("hash loop", lambda _c, s: Hashes(s), dict, 0, wide=False),
            HotPath(
                "rotation loop",
                lambda c, s: Rotations(
                    s, made.running.database_url, min(c, 64), [_handle_hash(v) for v in apart]
                ),
                dict,
                wide=False,
            ),
            HotPath(
                "verify() of the library",
                lambda _c, s: Verifications(
                    s,
                    url,
                    reader.client.client_id,
                    reader.secret,
                    [v.access_token for v in visitors],
                ),
                dict,
                0,
                wide=False,
            ),
            self._of("jwks", url, [request("GET", "/.well-known/jwks.json")]),
            self._of(
                "me", url, [request("GET", "/auth/me", bearer=v.access_token) for v in visitors]
            ),
            self._of(
                "introspect",
                url,
                [
                    request(
                        "POST", "/oauth/introspect", basic=basic, form={"token": v.access_token}
                    )
                    for v in visitors
                ],
            ),
            self._of(
                "api-keys/verify",
                url,
                [
                    request(
                        "POST", "/api-keys/verify", bearer=checker.access_token, json={"key": key}
                    )
                    for key in keys
                ],
            ),
            self._of(
                "client_credentials",
                url,
                [
                    request(
                        "POST",
                        "/oauth/token",
                        basic=basic,
                        form={"grant_type": "client_credentials"},
                    )
                ],
            ),
            HotPath(
                "refresh",
                lambda c, s: Chains(url, c, s, "all", refreshes),
                self._charged,
            ),
            self._of(
                "feed, 100 entries",
                url,
                [request("GET", "/revocations?limit=100", bearer=reader.access_token)],
            ),
            HotPath(
                "one family hammered",
                lambda c, s: Chains(url, c, s, "one", [alone.refresh_token], together=True),
                self._charged,
                wide=False,
            ),
            HotPath(
                "revoke",
                lambda c, s: Cycle(
                    url, c, s, 200, self._revocations(service, basic, int(2000 * s)), once=True
                ),
                self._charged,
                wide=False,
            ),
            HotPath(
                "refresh beside logins",
                lambda c, s: Chains(url, c, s, "all", refreshes),
                self._charged,
                wide=False,
                beside=lambda _c, s: Cycle(url, 16, s, 200, logins),
            ),
            HotPath(
                "login",
                lambda c, s: Cycle(url, c, s, 200, logins),
                self._charged,
                connections=16,
                wide=False,
            ),
        ]

    def _revocations(
        self, service: ServiceAccount, basic: tuple[str, str], count: int
    ) -> list[bytes]:
        """Ask for the revocation of as many tokens, none of which is revoked yet."""
        rt, call = self.made.rt, self.made.call()
        tokens = [mint_for_client(rt, call.at, service.client, None) for _ in range(count)]
        return [
            request("POST", "/oauth/revoke", basic=basic, form={"token": token.access_token})
            for token in tokens
        ]

    async def _revoke_some(
        self, service: ServiceAccount, basic: tuple[str, str], count: int
    ) -> None:
        """Have something on the feed."""
        wire = await Wire.open(self.made.url)
        for asked in self._revocations(service, basic, count):
            await wire.ask(asked)
        await wire.close()

    def _of(self, title: str, url: str, requests: list[bytes]) -> HotPath:
        charged = self._charged if url == self.made.url else self._reference.charged
        return HotPath(title, lambda c, s: Cycle(url, c, s, 200, requests), charged)

    def _charged(self) -> dict[str, list[int]]:
        return {
            "service": family(self.made.running.pid),
            "postgresql": family(self.made.postgres.pid),
            "redis": family(self.made.valkey.pid),
        }

    async def run(self, say: Callable[[str], None], only: Sequence[str]) -> list[Measured]:
        """Measure everything, taking turns."""
        wanted = {*only, *(goal.reference for name in only for goal in GOALS.get(name, ()))}
        every = [path for path in await self.paths() if not only or path.title in wanted]
        workers = len(self.made.running.workers())
        measured: list[Measured] = []
        for connections in self.plan.connections:
            paths = [path for path in every if path.wide or connections == self.plan.main]
            for path in paths:
                await self.once(path, connections, self.plan.warm, warm=True)
            rounds: dict[str, list[Round]] = {path.title: [] for path in paths}
            for number in range(1, self.plan.rounds + 1):
                for path in paths:
                    one = await self.once(path, connections, self.plan.seconds)
                    rounds[path.title].append(one)
                    say(
                        f"{workers} workers, {connections} connections, round {number}:"
                        f" {path.title} {one.rate:,.0f}/s"
                    )
            memory = [round(memory_mib(pid), 1) for pid in self.made.running.workers()]
            measured += [
                Measured(path.title, workers, connections, rounds[path.title], memory)
                for path in paths
            ]
        return measured

    async def once(
        self, path: HotPath, connections: int, seconds: float, *, warm: bool = False
    ) -> Round:
        """Measure one path once; to warm up is to ask everything at least once."""
        order = path.ask(path.connections or connections, seconds)
        if isinstance(order, Cycle):
            least = len(order.requests) if warm else 1  # a slow one has its answer, too
            order = msgspec.structs.replace(order, least=least)
        flood = path.beside(connections, seconds + _FLOOD_SECONDS) if path.beside else None
        if flood is not None and self._other_loader is not None:
            self._other_loader.order(flood)
            await asyncio.sleep(_FLOOD_SECONDS)
        charged = path.charged()
        before = {whose: cpu_seconds(pids) for whose, pids in charged.items()}
        if isinstance(order, Hashes | Rotations | Verifications):
            self._floor.order(order)
            reached = await self._floor.told()
            return Round(reached.times / reached.seconds)
        self._loader.order(order)
        loaded = await self._loader.told()
        self._complain(path.title, loaded)
        if flood is not None and self._other_loader is not None:
            self._complain(f"beside {path.title}", await self._other_loader.told())
        cpu = {
            whose: (cpu_seconds(pids) - before[whose]) / max(loaded.answers, 1)
            for whose, pids in charged.items()
        }
        return Round(loaded.answers / loaded.seconds, loaded.p50, loaded.p99, cpu)

    def _complain(self, title: str, loaded: Loaded) -> None:
        for what, times in loaded.strange.items():
            self.problems.append(f"{title}: {times} answers were {what}")
        if loaded.answers == 0:
            self.problems.append(f"{title}: nothing was answered")


def _handle_hash(visitor: Visitor) -> bytes:
    return sha256(jose.decode(visitor.refresh_token.partition(".")[0])).digest()


# --- the reference ----------------------------------------------------------------------------


class Reference:
    """The bare application's process."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self._process = process

    def charged(self) -> dict[str, list[int]]:
        """Whose processor time it costs."""
        return {"service": family(self._process.pid)}


@asynccontextmanager
async def reference_beside(workers: int, body: bytes) -> AsyncIterator[Reference]:
    """Serve the bare application; EmbeddedError-free: it answers or the run fails."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *launched("self", signal.SIGTERM, sys.executable, "-P", "-m", "bench.reference"),
        str(port),
        str(workers),
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_BYTES": body.decode()},
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    wire = await Wire.open(url)
                    await wire.ask(request("GET", "/struct"))
                    await wire.close()
                    break
                await asyncio.sleep(0.05)
        yield Reference(url, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


# --- the run ----------------------------------------------------------------------------------


async def measure(
    plan: Plan, only: Sequence[str] = (), say: Callable[[str], None] = print
) -> Result:
    """Measure paths, at every number of workers of the plan."""
    measured: list[Measured] = []
    problems: list[str] = []
    for workers in plan.workers:
        say(f"Starting PostgreSQL, Valkey, the service and its reference ({workers} workers) ...")
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(deployed(workers=workers))
            wire = await Wire.open(made.url)
            jwks = (await wire.ask(request("GET", "/.well-known/jwks.json"))).body
            await wire.close()
            bench = Bench(
                plan,
                made,
                await stack.enter_async_context(child("bench.loader", LOADED)),
                await stack.enter_async_context(child("bench.floor", REACHED)),
                await stack.enter_async_context(reference_beside(workers, jwks)),
                await stack.enter_async_context(child("bench.loader", LOADED)),
            )
            measured += await bench.run(say, only)
            problems += bench.problems
    return Result(describe_machine(), measured, problems)


def ratios(result: Result) -> Iterable[tuple[Measured, Goal, float]]:
    """Yield each measurement with a goal, and the ratio reached."""
    rates = {(m.path, m.workers, m.connections): m.rate for m in result.measured}
    for one in result.measured:
        for goal in GOALS.get(one.path, ()):
            reference = rates.get((goal.reference, one.workers, one.connections), 0.0)
            if reference:
                yield one, goal, one.rate / reference


def verdicts(result: Result) -> dict[int, list[str]]:
    """Say what came of each goal, by the id() of the measurement."""
    main = main_connections({one.connections for one in result.measured})
    told: dict[int, list[str]] = {}
    for one, goal, ratio in ratios(result):
        text = f"{ratio:.2f} of {goal.reference}"
        if one.connections == main:
            text += f" ({goal.ratio:.2f}{'' if ratio >= goal.ratio else ' MISSED'})"
        told.setdefault(id(one), []).append(text)
    for one in result.measured:
        if one.path in P99:
            p99, most = median([r.p99 for r in one.rounds]), P99[one.path]
            mark = "" if p99 <= most else " MISSED"
            told.setdefault(id(one), []).append(
                f"p99 {p99 * 1000:.0f} ms ({most * 1000:.0f}{mark})"
            )
    return told


def table(result: Result) -> str:
    """Return the figures as text."""
    names = "workers", "conns", "per s", "+-", "p50 ms", "p99 ms", "µs CPU", "pg", "redis"
    widths = 8, 6, 10, 6, 9, 9, 8, 6, 6
    heading = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{'path':24}{heading}  ratio (goal)"]
    told = verdicts(result)
    for one in result.measured:
        p50 = median([r.p50 for r in one.rounds]) * 1000
        p99 = median([r.p99 for r in one.rounds]) * 1000
        lines.append(
            f"{one.path:24}{one.workers:8}{one.connections:6}{one.rate:10,.0f}{one.spread:6.0%}"
            f"{p50:9.2f}{p99:9.2f}{one.cpu('service'):8.0f}{one.cpu('postgresql'):6.0f}"
            f"{one.cpu('redis'):6.0f}  {', '.join(told.get(id(one), []))}".rstrip()
        )
    memory = {one.workers: one.memory_mib for one in result.measured}
    for workers, each in memory.items():
        mark = "" if max(each, default=0.0) <= MEMORY_MIB + HASHING_MIB else " MISSED"
        lines.append(
            f"memory with {workers} workers (PSS, MiB each): {each}"
            f" ({MEMORY_MIB} and {HASHING_MIB} to hash in{mark})"
        )
    lines += [f"PROBLEM: {problem}" for problem in result.problems]
    return "\n".join(lines)


async def paths(*, quick: bool, only: Sequence[str] = ()) -> int:
    """Measure, print, write; return the exit status: 1 when any answer was not the expected one."""
    result = await measure(QUICK if quick else FULL, only)
    print(table(result))
    keep("paths", result, drawn(result), whole=not quick and not only)
    if result.problems:
        print("FAILED: see PROBLEM above.")
    return 1 if result.problems else 0


def keep(name: str, result: Struct, picture: str | None, *, whole: bool) -> None:
    """Write a result as JSON, and its picture: of a whole run where bench/RESULTS.md shows it."""
    folder = RESULTS if whole else ROOT / ".data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.json"]
    written[0].write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    if picture is not None:
        written.append(folder / f"{name}.svg")
        written[1].write_text(picture)
    print(f"Wrote {' and '.join(map(str, written))}.")


def drawn(result: Result) -> str:
    """Draw the ratios at 32 connections, with their goals."""
    some = min(one.workers for one in result.measured)
    shown = [
        chart.Bar(
            f"{one.path} / {goal.reference}", ratio, goal.ratio, f"{ratio:.2f}, {one.rate:,.0f}/s"
        )
        for one, goal, ratio in ratios(result)
        if one.connections == 32 and one.workers == some  # noqa: PLR2004 - the one of the goals
    ]
    return chart.bars(
        "Hot paths, as shares of what the bare framework, hash or database does",
        f"dashed: the goal; 32 connections, {some} worker; {result.machine.line()}",
        shown,
    )
