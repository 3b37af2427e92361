"""How long is a revoked token accepted anywhere, after its revocation was answered with 2xx?

Two workers and two verifiers are watched by four processes (bench/observer.py).  Each victim is
first accepted at all six places; then it is revoked, by a random kind, through a random worker; the
figure is the time from the head of the 2xx to the last acceptance at any place.  Tokens that nobody
revokes must be accepted everywhere all the time, so refusing everything is no way to be quick.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from bench import chart
from bench.children import Child, child
from bench.deployment import Deployment, Visitor, deployed
from bench.figures import Summary, summary
from bench.machine import Machine, describe_machine
from bench.observer import (
    REPORTS,
    ROUND_SECONDS,
    Accepted,
    AtVerifier,
    AtWorker,
    Leave,
    Report,
    Seen,
    Sweep,
    Swept,
    Tell,
    Watch,
)
from bench.wire import Wire, WireError, request, wires_to
from service.embedded.checkout import ROOT
from service.kernel import jose

PACE_SECONDS = 0.05
"""Between two revocations, on average."""

AFTER_SECONDS = 0.5
"""How long a token is watched beyond the bound."""

_PATIENCE_SECONDS = 20.0
_NO_CONTENT = 204
_SURVIVORS = 4
_NOW_AND_THEN = 0.03


class Plan(Struct, frozen=True):
    """One part of the run: how many revocations, and the published bound in seconds."""

    title: str
    revocations: int
    bound: float
    lost: str = ""


FULL = (Plan("healthy", 500, 1.0), Plan("Redis killed", 200, 2.0, lost="redis"))
QUICK = (Plan("healthy", 100, 1.0), Plan("Redis killed", 50, 2.0, lost="redis"))


class Victim(Struct, frozen=True):
    """A token, what will kill it, and a route that takes it while it lives."""

    kind: str
    token: str
    path: str
    revoking: bytes
    expected: int


class Revoked(Struct, frozen=True):
    """One measurement, in seconds; below zero is zero: it was dead everywhere before the 2xx.

    `since_asked` counts from before the revoking request was sent: an upper bound that no delay of
    ours in reading the 2xx can shorten.
    """

    kind: str
    lag: float
    place: str
    since_asked: float


class Part(Struct, frozen=True):
    """What one part of the run showed."""

    title: str
    bound: float
    all: Summary
    since_asked: Summary
    kinds: dict[str, Summary]
    places: dict[str, Summary]
    accepted: int
    refused: int
    lags: list[float]
    problems: list[str]


class Result(Struct, frozen=True):
    """The whole run.  Times in seconds."""

    machine: Machine
    parts: list[Part]


# --- what is revoked, and how -----------------------------------------------------------------

Way: TypeAlias = Callable[["Victims"], Awaitable[Victim]]


class Victims:
    """Makes tokens to revoke, each with the request that revokes it."""

    def __init__(self, made: Deployment, administrator: Visitor) -> None:
        self.made = made
        self.administrator = administrator

    async def make(self, count: int) -> list[Victim]:
        """Make as many of every kind, in random order."""
        ways = itertools.cycle(WAYS)
        victims = [await next(ways)(self) for _ in range(count)]
        random.shuffle(victims)
        return victims

    def by_hand(self, kind: str, value: str, token: str, path: str) -> Victim:
        """Return a victim of `POST /revocations`."""
        body = {"kind": kind, "value": value}
        revoking = request(
            "POST", "/revocations", bearer=self.administrator.access_token, json=body
        )
        return Victim(kind, token, path, revoking, 201)


class _Named(Struct, frozen=True):
    jti: str


ME = "/auth/me"
_SERVICES = "/revocations/no-such-token"
"""A route for the tokens of services that hold `revocations:read`."""


async def _jti_by_client(victims: Victims) -> Victim:
    service = await victims.made.client("revocations:read")
    basic = (service.client.client_id, service.secret)
    revoking = request("POST", "/oauth/revoke", basic=basic, form={"token": service.access_token})
    return Victim("jti", service.access_token, _SERVICES, revoking, 200)


async def _jti_by_hand(victims: Victims) -> Victim:
    token = (await victims.made.newcomer()).access_token
    jti = msgspec.json.decode(jose.decode(token.split(".")[1]), type=_Named).jti
    return victims.by_hand("jti", jti, token, ME)


async def _sid_by_sign_out(victims: Victims) -> Victim:
    visitor = await victims.made.newcomer()
    revoking = request("POST", "/auth/logout", cookie=visitor.refresh_token, json={})
    return Victim("sid", visitor.access_token, ME, revoking, 204)


async def _sid_by_hand(victims: Victims) -> Victim:
    visitor = await victims.made.newcomer()
    return victims.by_hand("sid", visitor.session_id, visitor.access_token, ME)


async def _sub(victims: Victims) -> Victim:
    visitor = await victims.made.newcomer()
    return victims.by_hand("sub", str(visitor.account.user_id), visitor.access_token, ME)


async def _tenant(victims: Victims) -> Victim:
    visitor = await victims.made.newcomer()
    tenant_id = str(visitor.organization.tenant_id)
    return victims.by_hand("tenant_id", tenant_id, visitor.access_token, ME)


async def _client(victims: Victims) -> Victim:
    service = await victims.made.client("revocations:read")
    return victims.by_hand("client_id", service.client.client_id, service.access_token, _SERVICES)


async def _akid(victims: Victims) -> Victim:
    key_id, token = await victims.made.exchanged_key(victims.administrator)
    revoking = request(
        "POST", f"/api-keys/{key_id}/revoke", bearer=victims.administrator.access_token
    )
    return Victim("akid", token, _SERVICES, revoking, 200)


WAYS: tuple[Way, ...] = (
    _jti_by_client,
    _sid_by_sign_out,
    _sub,
    _tenant,
    _client,
    _akid,
    _jti_by_hand,
    _sid_by_hand,
)
"""Every way there is to kill a token, but for the death of its signing key."""


# --- the run ----------------------------------------------------------------------------------


class Crowd:
    """The observers, addressed as one."""

    def __init__(self, observers: dict[str, Child[Report]]) -> None:
        self._observers = observers
        self._names = itertools.count()
        self.living: set[int] = set()
        """Names that nobody revoked."""
        self._accepted: dict[int, asyncio.Queue[None]] = {}
        self._seen: dict[int, asyncio.Queue[Seen]] = {}
        self._swept: asyncio.Queue[Swept] = asyncio.Queue()
        self._places = len([n for n in observers if "verifier" in n]) + 2 * len(
            [n for n in observers if "worker" in n]
        )

    async def listen(self) -> None:
        """Pass on what the observers tell, for as long as they live."""
        async with asyncio.TaskGroup() as group:
            for title, observer in self._observers.items():
                group.create_task(self._listen(title, observer))

    async def _listen(self, title: str, observer: Child[Report]) -> None:
        while True:
            match await observer.told():
                case Accepted() as told:
                    self._accepted[told.name].put_nowait(None)
                case Seen() as told:
                    place = msgspec.structs.replace(told, place=f"{title} {told.place}".strip())
                    self._seen[told.name].put_nowait(place)
                case Swept() as told:
                    self._swept.put_nowait(told)

    async def watch(self, token: str, path: str, every: float = ROUND_SECONDS) -> int:
        """Have a token presented everywhere; return its name once every place has accepted it."""
        name = next(self._names)
        self._accepted[name], self._seen[name] = asyncio.Queue(), asyncio.Queue()
        for observer in self._observers.values():
            observer.order(Watch(name, token, path, every))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for _ in self._observers:
                await self._accepted[name].get()
        return name

    async def leave(self, name: int) -> list[Seen]:
        """Have it presented no more; return what each place saw."""
        return await self._ask(name, Leave(name))

    async def tell(self, name: int) -> list[Seen]:
        """Return what each place saw since it was asked last."""
        return await self._ask(name, Tell(name))

    async def _ask(self, name: int, order: Leave | Tell) -> list[Seen]:
        for observer in self._observers.values():
            observer.order(order)
        return [await self._seen[name].get() for _ in range(self._places)]

    async def sweep(self) -> list[Swept]:
        """Have every token presented once more everywhere."""
        for observer in self._observers.values():
            observer.order(Sweep())
        return [await self._swept.get() for _ in self._observers]


class Measuring:
    """One part: revokes, waits, and adds up what was seen."""

    def __init__(self, plan: Plan, crowd: Crowd, wires: Sequence[Wire]) -> None:
        self._plan = plan
        self._crowd = crowd
        self._wires = wires
        self._revoked: list[Revoked] = []
        self._by_place: dict[str, list[float]] = {}
        self._answers: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()

    async def run(self, victims: Sequence[Victim]) -> None:
        """Revoke all victims at random moments, several under way at a time."""
        async with asyncio.TaskGroup() as group:
            for victim in victims:
                group.create_task(self._kill(victim))
                await asyncio.sleep(random.expovariate(1 / PACE_SECONDS))

    async def _kill(self, victim: Victim) -> None:
        try:
            name = await self._crowd.watch(victim.token, victim.path)
        except TimeoutError:
            self.problems[f"{victim.kind}: not accepted everywhere before it was revoked"] += 1
            return
        await asyncio.sleep(random.uniform(0, PACE_SECONDS))  # noqa: S311 - no secret
        asked = time.monotonic()
        try:
            answer = await random.choice(self._wires).ask(victim.revoking)  # noqa: S311 - no secret
        except WireError as exc:
            self.problems[f"{victim.kind}: revoking was not answered: {exc}"] += 1
            return
        if answer.status != victim.expected:
            self.problems[f"{victim.kind}: revoking was answered {answer.status}"] += 1
        await asyncio.sleep(self._plan.bound + AFTER_SECONDS)
        self._judge(victim, asked, answer.at, await self._crowd.leave(name))

    def _judge(self, victim: Victim, asked: float, answered: float, seen: list[Seen]) -> None:
        for place in seen:
            self._by_place.setdefault(place.place, []).append(
                max(0.0, place.last_accepted - answered)
            )
            self.note(place)
            if place.refused == 0:
                self.problems[f"{victim.kind}: never refused at {place.place}"] += 1
            if place.back:
                self.problems[f"{victim.kind}: accepted again at {place.place}"] += 1
        last = max(seen, key=lambda place: place.last_accepted)
        lag = max(0.0, last.last_accepted - answered)
        if lag > self._plan.bound:
            self.problems[
                f"{victim.kind}: accepted after the bound, {lag:.3f} s, {last.place}"
            ] += 1
        self._revoked.append(Revoked(victim.kind, lag, last.place, last.last_accepted - asked))

    async def kill_key(self, killing: bytes) -> None:
        """Kill the key of everything that still lives."""
        asked = time.monotonic()
        answer = await self._wires[0].ask(killing)
        if answer.status != _NO_CONTENT:
            self.problems[f"kid: killing was answered {answer.status}"] += 1
        await asyncio.sleep(self._plan.bound + AFTER_SECONDS)
        for name in list(self._crowd.living):
            victim = Victim("kid", "", ME, killing, _NO_CONTENT)
            self._judge(victim, asked, answer.at, await self._crowd.leave(name))
        self._crowd.living.clear()

    async def look_again(self) -> None:
        """Present everything once more: the dead are dead, and nobody else is."""
        for swept in await self._crowd.sweep():
            for place, name in swept.accepted:
                if name not in self._crowd.living:
                    self.problems[f"accepted at the end: {place}"] += 1
            for what, times in swept.strange.items():
                self.problems[f"at the end: {what}"] += times
        for name in self._crowd.living:
            for seen in await self._crowd.tell(name):
                self.note(seen)
                if seen.refused:
                    self.problems[f"never revoked, and refused: {seen.place}"] += seen.refused

    def note(self, seen: Seen) -> None:
        """Count answers, and complain about those that are neither yes nor no."""
        self._answers["accepted"] += seen.accepted
        self._answers["refused"] += seen.refused
        for what, times in seen.strange.items():
            self.problems[f"{seen.place}: {what}"] += times

    def part(self) -> Part:
        """Add up."""
        kinds: dict[str, list[float]] = {}
        for one in self._revoked:
            kinds.setdefault(one.kind, []).append(one.lag)
        one_by_one = sum(one.kind != "kid" for one in self._revoked)
        if missing := self._plan.revocations - one_by_one:
            self.problems["not measured"] += missing
        lags = [one.lag for one in self._revoked] or [float("inf")]
        return Part(
            title=self._plan.title,
            bound=self._plan.bound,
            all=summary(lags),
            since_asked=summary([one.since_asked for one in self._revoked] or [float("inf")]),
            kinds={kind: summary(values) for kind, values in sorted(kinds.items())},
            places={place: summary(values) for place, values in sorted(self._by_place.items())},
            accepted=self._answers["accepted"],
            refused=self._answers["refused"],
            lags=sorted(round(lag, 6) for lag in lags),
            problems=[f"{what} ({times}x)" for what, times in sorted(self.problems.items())],
        )


async def measure(plans: Sequence[Plan], say: Callable[[str], None] = print) -> Result:
    """Run all parts on one deployment of two workers and two verifiers."""
    async with AsyncExitStack() as stack:
        say("Starting PostgreSQL, Valkey and the service with two workers ...")
        made = await stack.enter_async_context(deployed(workers=2))
        reader = await made.client("revocations:read")
        say("Starting two verifiers, and an observer of each worker ...")
        crowd = await stack.enter_async_context(
            observing(made, reader.client.client_id, reader.secret)
        )
        return Result(describe_machine(), [await _part(plan, made, crowd, say) for plan in plans])


async def _part(plan: Plan, made: Deployment, crowd: Crowd, say: Callable[[str], None]) -> Part:
    """Revoke one by one, then kill the key that signed all that is left."""
    say(f"{plan.title}: {plan.revocations} revocations ...")
    await made.rt.keyring.refresh(made.rt.pg)  # the part before has killed its key
    administrator = await made.administrator()
    # watched at once: the service closes connections that say nothing for ten seconds
    for _ in range(_SURVIVORS):
        crowd.living.add(await crowd.watch((await made.newcomer()).access_token, ME, _NOW_AND_THEN))
    victims = await Victims(made, administrator).make(plan.revocations)
    workers = made.running.workers()
    wires = [wire for worker in workers for wire in await wires_to(made.url, workers, worker, 2)]
    if plan.lost == "redis":
        made.valkey.kill()
    measuring = Measuring(plan, crowd, wires)
    await measuring.run(victims)
    await measuring.look_again()
    kid = made.rt.keyring.signing(made.rt.clock.now()).kid
    await measuring.kill_key(
        request("DELETE", f"/admin/signing-keys/{kid}", bearer=administrator.access_token)
    )
    await measuring.look_again()
    for wire in wires:
        await wire.close()
    if made.running.workers() != workers:
        measuring.problems["a worker ended"] += 1
    return measuring.part()


@asynccontextmanager
async def observing(made: Deployment, client_id: str, secret: str) -> AsyncIterator[Crowd]:
    """Start an observer of each worker and two verifiers, and listen to them."""
    workers = made.running.workers()
    issuer = made.running.environment["AUTH_ISSUER"]
    stands: dict[str, AtWorker | AtVerifier] = {
        f"worker {n}": AtWorker(made.url, workers, worker, client_id, secret)
        for n, worker in enumerate(workers, 1)
    }
    for n in (1, 2):
        stands[f"verifier {n}"] = AtVerifier(made.url, issuer, client_id, secret)
    async with AsyncExitStack() as stack:
        observers: dict[str, Child[Report]] = {}
        for title, stand in stands.items():
            observer: Child[Report] = await stack.enter_async_context(
                child("bench.observer", REPORTS)
            )
            observer.order(stand)
            observers[title] = observer
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for observer in observers.values():
                await observer.told()
        crowd = Crowd(observers)
        async with asyncio.TaskGroup() as group:  # an observer that ends, ends the run
            listening = group.create_task(crowd.listen())
            yield crowd
            listening.cancel()


# --- what is said of it -----------------------------------------------------------------------


def table(result: Result) -> str:
    """Return the figures as text, in milliseconds."""
    lines = [f"{'':32}{'count':>7}{'p50':>9}{'p99':>9}{'worst':>9}   ms after the 2xx"]

    def line(title: str, figures: Summary) -> None:
        times = "".join(
            f"{value * 1000:9.1f}" for value in (figures.p50, figures.p99, figures.worst)
        )
        lines.append(f"{title:32}{figures.count:7}{times}")

    for part in result.parts:
        line(f"{part.title} (bound {part.bound:.0f} s)", part.all)
        for kind, figures in part.kinds.items():
            line(f"  by {kind}", figures)
        for place, figures in part.places.items():
            line(f"  at {place}", figures)
        line("  since the request was sent", part.since_asked)
        lines.append(f"  {part.accepted} acceptances, {part.refused} refusals seen")
        lines += [f"  PROBLEM: {problem}" for problem in part.problems]
    return "\n".join(lines)


async def revocation(*, quick: bool) -> int:
    """Measure, print, write; return the exit status: 1 when anything was not as published."""
    result = await measure(QUICK if quick else FULL)
    print(table(result))
    data = ROOT / ".data" / "bench"
    data.mkdir(parents=True, exist_ok=True)
    (data / "revocation.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(result), indent=1)
    )
    pictures = data if quick else Path(__file__).parent / "results"
    pictures.mkdir(exist_ok=True)
    (pictures / "revocation.svg").write_text(drawn(result))
    problems = sum(len(part.problems) for part in result.parts)
    print(f"Wrote {data / 'revocation.json'} and {pictures / 'revocation.svg'}.")
    if problems:
        print("FAILED: see PROBLEM above.")
    return 1 if problems else 0


def drawn(result: Result) -> str:
    """Draw for each part what share of revocations was known everywhere after which time."""
    counted = " and ".join(f"{part.all.count} {part.title}" for part in result.parts)
    return chart.shares(
        title="Revoked tokens that no place accepts any more",
        subtitle=f"{counted}, by time after the 2xx. {result.machine.line()}",
        curves=[
            chart.Curve(
                f"{part.title}: p99 {part.all.p99 * 1000:.0f} ms,"
                f" worst {part.all.worst * 1000:.0f} ms",
                part.lags,
                part.bound,
            )
            for part in result.parts
        ],
    )
