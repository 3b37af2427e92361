"""Does a figure stay flat while the deployment grows?

Two deployments of the same service stand side by side and take turns, path by path: one stays as it
was made, the other is filled with sessions, families, API keys and revocations.  What is measured
is the second's rate as a share of the first's; the machine's moods hit both alike.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import asyncpg
from msgspec import Struct

from bench import chart
from bench.children import child
from bench.deployment import Deployment, deployed
from bench.figures import median
from bench.machine import Machine, describe_machine
from bench.paths import LOADED, REACHED, Bench, HotPath, Plan, keep, reference_beside
from bench.processes import memory_mib
from bench.wire import Wire, request

FLAT = 0.90
"""The share of the small deployment's rate that must be left."""

PATHS = ("me", "introspect", "api-keys/verify", "client_credentials", "refresh")
_OK = 200
_KNOWN_SECONDS = 30.0
"""A hundred thousand revocations at once are read in pages."""

_PLAN = Plan(7, 1.5, (1,), (32,), 1_000)
_QUICK_PLAN = Plan(3, 1.0, (1,), (32,), 200)


class Size(Struct, frozen=True):
    """How much there is: of sessions, of families and of keys each so many; and revocations."""

    things: int
    revocations: int

    def __str__(self) -> str:
        return f"{self.things:,} of each, {self.revocations:,} revocations"


FULL = (Size(1_000, 0), Size(100_000, 10_000), Size(1_000_000, 100_000))
QUICK = (Size(1_000, 0), Size(50_000, 20_000))


class Share(Struct, frozen=True):
    """A path at a size: both rates per second, round by round."""

    path: str
    size: Size
    small: list[float]
    grown: list[float]

    @property
    def share(self) -> float:
        """The median of the rounds' own ratios."""
        return median([g / s if s else 0.0 for g, s in zip(self.grown, self.small, strict=True)])


class Result(Struct, frozen=True):
    """The whole run; memory of the grown deployment's worker, in MiB, by size."""

    machine: Machine
    shares: list[Share]
    memory: dict[str, float]
    problems: list[str]


_SESSIONS = """
WITH made AS (
    INSERT INTO auth_sessions (session_id, tenant_id, user_id, client_id, amr, auth_time,
                               created_at, expires_at)
    SELECT gen_random_uuid(), m.tenant_id, m.user_id, 'console', '{pwd}', clock_timestamp(),
           clock_timestamp(), clock_timestamp() + interval '30 days'
      FROM generate_series(1, $1::integer) n
      JOIN (SELECT tenant_id, user_id, row_number() OVER () AS place, count(*) OVER () AS people
              FROM auth_memberships) m ON m.place = n % m.people + 1
    RETURNING session_id, created_at, expires_at
)
INSERT INTO auth_families (handle_hash, session_id, token_hash, rotated_at, idle_ttl,
                           idle_expires_at, absolute_expires_at, last_ip, last_network, last_agent)
SELECT sha256(session_id::text::bytea), session_id, sha256('x'), created_at, interval '7 days',
       created_at + interval '7 days', expires_at, '127.0.0.1', '127.0.0.0/24', ''
  FROM made
"""
_KEYS = """
INSERT INTO auth_api_keys (key_id, tenant_id, public_id, secret_mac, name, scopes, created_at)
SELECT gen_random_uuid(), (SELECT tenant_id FROM auth_organizations LIMIT 1),
       left(translate(encode(sha256(gen_random_uuid()::text::bytea), 'base64'), '+/=', 'xyz'), 12),
       sha256(n::text::bytea), 'filler', '{agentes}', clock_timestamp()
  FROM generate_series(1, $1::integer) n
    ON CONFLICT DO NOTHING
"""
_REVOCATIONS = """
WITH head AS (
    UPDATE auth_revocation_head SET seq = seq + $1::integer RETURNING seq - $1::integer AS base
)
INSERT INTO auth_revocations (seq, kind, value, reason, revoked_at, expires_at)
SELECT head.base + n, 'jti', 'filler-' || (head.base + n), 'bench', clock_timestamp(),
       clock_timestamp() + interval '1 day'
  FROM head, generate_series(1, $1::integer) n
RETURNING value
"""


async def fill(made: Deployment, before: Size, size: Size) -> None:
    """Fill a deployment up to a size; AssertionError when the service does not come to know."""
    connection = await asyncpg.connect(made.running.database_url)
    try:
        more = size.things - before.things
        for statement in (_SESSIONS, _KEYS):
            await connection.execute(statement, more, timeout=600)
        revoked = await connection.fetch(_REVOCATIONS, size.revocations - before.revocations)
        for table in ("auth_sessions", "auth_families", "auth_api_keys", "auth_revocations"):
            await connection.execute(f"VACUUM (ANALYZE) {table}", timeout=600)
    finally:
        await connection.close()
    if revoked:
        await _known(made, max(row["value"] for row in revoked))


async def _known(made: Deployment, jti: str) -> None:
    """Wait until the service knows of a revocation."""
    reader = await made.client("revocations:read")
    wire = await Wire.open(made.url)
    try:
        asked = request("GET", f"/revocations/{jti}", bearer=reader.access_token)
        deadline = time.monotonic() + _KNOWN_SECONDS
        while time.monotonic() < deadline:
            answer = await wire.ask(asked)
            if answer.status == _OK and b'"revoked":true' in answer.body:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the service does not know what is revoked")
    finally:
        await wire.close()


async def measure(
    sizes: Sequence[Size], plan: Plan = _PLAN, say: Callable[[str], None] = print
) -> Result:
    """Measure at every size."""
    shares: list[Share] = []
    memory: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        say("Starting two deployments ...")
        reference = await stack.enter_async_context(reference_beside(1, b"{}"))
        benches: list[Bench] = []
        paths: list[dict[str, HotPath]] = []
        for _ in ("small", "grown"):
            made = await stack.enter_async_context(deployed(workers=1))
            loader = await stack.enter_async_context(child("bench.loader", LOADED))
            floor = await stack.enter_async_context(child("bench.floor", REACHED))
            benches.append(Bench(plan, made, loader, floor, reference))
            paths.append({path.title: path for path in await benches[-1].paths()})
        before = sizes[0]
        for size in sizes:
            if size != before:
                say(f"Filling one of them: {size} ...")
                await fill(benches[1].made, before, size)
                before = size
            for path in PATHS:
                rates = await _rates(path, plan, benches, paths)
                shares.append(Share(path, size, *rates))
                say(f"{size}: {path} {shares[-1].share:.2f}")
            worker = benches[1].made.running.workers()[0]
            memory[str(size)] = round(memory_mib(worker), 1)
        problems = [problem for bench in benches for problem in bench.problems]
        return Result(describe_machine(), shares, memory, problems)


async def _rates(
    path: str, plan: Plan, benches: Sequence[Bench], paths: Sequence[dict[str, HotPath]]
) -> tuple[list[float], list[float]]:
    for bench, known in zip(benches, paths, strict=True):
        await bench.once(known[path], plan.main, 0.5, warm=True)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(plan.rounds):
        for bench, known, rates in zip(benches, paths, found, strict=True):
            rates.append((await bench.once(known[path], plan.main, plan.seconds)).rate)
    return found


def table(result: Result) -> str:
    """Return the figures as text."""
    lines = [f"{'path':20}{'size':>44}{'small/s':>10}{'grown/s':>10}  share (goal)"]
    for one in result.shares:
        mark = "" if one.share >= FLAT else " MISSED"
        lines.append(
            f"{one.path:20}{one.size!s:>44}{median(one.small):10,.0f}{median(one.grown):10,.0f}"
            f"  {one.share:.2f} ({FLAT:.2f}{mark})"
        )
    lines += [f"memory of the worker, {size}: {mib} MiB" for size, mib in result.memory.items()]
    lines += [f"PROBLEM: {problem}" for problem in result.problems]
    return "\n".join(lines)


async def growth(*, quick: bool) -> int:
    """Measure, print, write; return the exit status: 1 when any answer was not the expected one."""
    result = await measure(QUICK if quick else FULL, _QUICK_PLAN if quick else _PLAN)
    print(table(result))
    keep("growth", result, drawn(result), whole=not quick)
    return 1 if result.problems else 0


def drawn(result: Result) -> str:
    """Draw the shares at the largest size."""
    largest = result.shares[-1].size
    shown = [
        chart.Bar(one.path, one.share, FLAT, f"{one.share:.2f}, {median(one.grown):,.0f}/s")
        for one in result.shares
        if one.size == largest
    ]
    return chart.bars(
        f"Rates with {largest}, as shares of a deployment with a thousand",
        f"dashed: the goal; 32 connections, 1 worker; {result.machine.line()}",
        shown,
    )
