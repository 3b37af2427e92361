"""`./dev bench audit`: the audit trail with ten million events, on servers of its own.

What a filtered page costs, what dropping a month costs, how fast events are sealed and exported,
and what sign-ins lose while that goes on.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from service.domain import audit
from service.domain.audit import Filter
from service.embedded.checkout import postgres, valkey
from service.embedded.schema import migrate
from service.flows.organizations.create import create_organization
from service.flows.people.create_user import NewUser, create_user
from service.flows.sessions.sign_in import Credentials, sign_in
from service.flows.trail import exports
from service.flows.trail.exports import Progress, ToExport
from service.flows.upkeep.sealing import seal
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel.call import Call, Operator
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.secret import Secret
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings

MASTER = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
COLUMNS = (
    *("event_id", "occurred_at", "tenant_id", "actor_kind", "actor_id", "user_id"),
    *("session_id", "event_type", "ip", "user_agent", "detail", "request_id"),
)
GENERATED = """
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || substr(digits, 1, 3) || '8' || substr(digits, 4, 15))::uuid, at,
       lpad(to_hex(CASE WHEN a < 0.4 THEN 1 ELSE 1 + floor(b * 50)::int END), 32, '0')::uuid,
       'user', person::text, person, lpad(to_hex(1000000000 + n / 8), 32, '0')::uuid,
       CASE WHEN n % 100000 = 7 THEN 'family.burned' WHEN c < 0.60 THEN 'sign_in.succeeded'
            WHEN c < 0.85 THEN 'sign_in.failed' WHEN c < 0.99 THEN 'session.ended'
            ELSE 'lockout.started' END,
       '10.0.0.0'::inet + floor(d * 1000000)::int, 'Mozilla/5.0 (X11; Linux x86_64)',
       '{"known_device": true}'::jsonb, 'r' || lpad(n::text, 24, '0')
  FROM (
    SELECT n, $1::timestamptz + n * $2::interval AS at, md5(n::text) AS digits, random() AS a,
           random() AS b, random() AS c, random() AS d,
           lpad((1000000 + floor(random() * 100000)::int)::text, 32, '0')::uuid AS person
      FROM generate_series($3::bigint, $4::bigint) AS n
  ) AS made
"""
"""Fifty organizations, the first with two fifths of the events; a type that is rare."""

BIG = UUID(int=1)
FRESH = UUID(int=0xFFFF)
EVER = Filter(first=datetime(1970, 1, 1, tzinfo=UTC), until=datetime(9000, 1, 1, tzinfo=UTC))

WIDE = Limit(1_000_000, 60)
SIGN_IN_SECONDS = 3.0
ROUNDS = 12
PASSWORD = "a long bench password"  # noqa: S105 - of a database that is gone a minute later


async def timed(name: str, act: Callable[[], Awaitable[object]], times: int = 20) -> None:
    """Print the first, the middle and the slowest of some tries, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        took.append((time.perf_counter() - began) * 1000)
    middle = sorted(took)[len(took) // 2]
    print(f"  {name:38} first {took[0]:8.1f}  middle {middle:8.1f}  slowest {max(took):8.1f} ms")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Runtime, str]]:
    """Open a runtime on servers of our own."""
    server = postgres(
        folder / "postgres",
        {
            "fsync": "off",
            "max_wal_size": "8GB",
            "shared_buffers": "1GB",
            "maintenance_work_mem": "1GB",
        },
    )
    cache = valkey(folder / "valkey")
    server.start()
    cache.start()
    try:
        migrate(server.url, folder)
        settings = Settings(
            issuer="http://localhost:1",
            database_url=Secret(server.url),
            redis_url=Secret(cache.url),
            master_keys=(Secret(MASTER),),
            data_dir=folder / "data",
        )
        policy = Policy(limits=Limits(login=WIDE, me=WIDE, create=WIDE, refresh=WIDE))
        async with open_runtime(settings, policy=policy) as rt:
            yield rt, server.url
    finally:
        cache.stop()
        server.stop()


async def fill(rt: Runtime, url: str, count: int, folder: Path) -> None:
    """Generate the events, COPY them in, make the indexes afterwards; say they are sealed."""
    began = time.perf_counter()
    connection = await asyncpg.connect(url)
    try:
        async with rt.pg.autocommit() as tx:
            await audit.make_partitions(tx, FIRST, DAYS // 30 + 1)
        indexes = await connection.fetch(
            "SELECT indexdef, indexname FROM pg_indexes WHERE tablename = 'auth_eventos'"
            " AND indexname <> 'auth_eventos_pkey'"
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        step, part = timedelta(days=DAYS) / count, max(1, count // 20)
        for begin in range(0, count, part):
            last = min(begin + part, count) - 1
            made = folder / "events.copy"
            await connection.copy_from_query(
                GENERATED, FIRST, step, begin, last, output=made, format="binary", timeout=3600
            )
            await connection.copy_to_table(
                "auth_eventos", source=made, columns=COLUMNS, format="binary", timeout=3600
            )
        print(f"{count:,} events in {time.perf_counter() - began:.0f} s", flush=True)
        for index in indexes:
            await connection.execute(index["indexdef"].replace(" ON ONLY ", " ON "), timeout=3600)
        await connection.execute("VACUUM (ANALYZE) auth_eventos", timeout=3600)
        await connection.execute("UPDATE auth_sealing SET recorded_xid = pg_current_xact_id()")
        size = await connection.fetchval(
            "SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid)))"
            " FROM pg_inherits WHERE inhparent = 'auth_eventos'::regclass"
        )
        print(f"indexed after {time.perf_counter() - began:.0f} s: {size}", flush=True)
    finally:
        await connection.close()


async def pages(rt: Runtime) -> None:
    """Print what a page of fifty costs, by filter."""
    middle = FIRST + timedelta(days=180)
    async with rt.pg.reading() as tx:
        one = await tx.fetchrow(
            "SELECT * FROM auth_eventos WHERE chain_id = $1 AND occurred_at >= $2"
            " ORDER BY occurred_at LIMIT 1",
            BIG,
            middle,
        )
    if one is None:
        raise LookupError("no events")
    filters: dict[str, Filter] = {
        "none": EVER,
        "time (one day)": Filter(first=middle, until=middle + timedelta(days=1)),
        "type, common": replace(EVER, event_type="sign_in.failed"),
        "type, rare (1 in 100,000)": replace(EVER, event_type="family.burned"),
        "type, none there": replace(EVER, event_type="no.such"),
        "person": replace(EVER, user_id=UserId(one["user_id"])),
        "session": replace(EVER, session_id=SessionId(one["session_id"])),
        "address": replace(EVER, address=str(one["ip"])),
        "request": replace(EVER, request_id=one["request_id"]),
        "person, type and time": Filter(
            first=middle - timedelta(days=90),
            until=middle + timedelta(days=90),
            user_id=UserId(one["user_id"]),
            event_type="lockout.started",
        ),
    }
    print("a page of 50 events of an organization with two fifths of them")
    for name, wanted in filters.items():

        async def read(wanted: Filter = wanted) -> None:
            async with rt.pg.reading() as tx:
                await audit.read_page(tx, BIG, wanted, None, 50)

        await timed(name, read)


async def sealing(rt: Runtime) -> None:
    """Print how fast events are sealed and verified."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, event_type,"
            " request_id, ip) SELECT gen_random_uuid(), now(), $1, 'operator', 'bench', 'x',"
            " '192.0.2.1' FROM generate_series(1, 20000)",
            FRESH,
        )
    began = time.perf_counter()
    count = await seal(rt)
    took = time.perf_counter() - began
    print(f"sealed {count:,} events in {took:.1f} s: {count / took:,.0f} a second")
    began = time.perf_counter()
    result = await verify_trail(rt, FRESH)
    took = time.perf_counter() - began
    print(f"verified {result[0].events:,} in {took:.1f} s: {result[0].events / took:,.0f} a second")
    if result[0].findings:
        raise ValueError(result[0].findings[:3])


async def sign_in_rate(rt: Runtime) -> float:
    """Return how many sign-ins a second four people get, over some seconds."""
    done, began = 0, time.perf_counter()
    asked = Credentials(email="bench@bench.example", password=PASSWORD)

    async def loop() -> None:
        nonlocal done
        while time.perf_counter() - began < SIGN_IN_SECONDS:
            plain = Call(request_id="bench-bench", at=rt.clock.now(), ip="192.0.2.1")
            await sign_in(rt, plain, asked)
            done += 1

    await asyncio.gather(*(loop() for _ in range(4)))
    return done / (time.perf_counter() - began)


async def sign_ins(rt: Runtime) -> None:
    """Print what sign-ins lose while events are exported and sealed, taking turns in one run."""
    call = Call(request_id="bench-bench", at=rt.clock.now(), actor=Operator())
    await create_organization(rt, call, "bench", "Bench")
    new = NewUser(email="bench@bench.example", name="", organization="bench", role="member")
    await create_user(rt, call, new, PASSWORD)

    async def export() -> None:
        begun = await exports.begin(rt, call, ToExport(tenant_id=TenantId(BIG)))
        async for _ in exports.run(rt, begun, resting=True):
            pass

    async def keep_sealing() -> None:
        while True:
            await seal(rt)
            await asyncio.sleep(1)

    ratios = []
    for _ in range(ROUNDS):
        alone = await sign_in_rate(rt)
        tasks = [asyncio.create_task(export()), asyncio.create_task(keep_sealing())]
        await asyncio.sleep(0.2)
        ratios.append(await sign_in_rate(rt) / alone)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"sign-ins beside an export and the sealer, to those alone just before: {middle:.2f}"
        f" (of {ROUNDS} rounds the middle half {low:.2f} to {high:.2f})"
    )


async def exporting(rt: Runtime) -> None:
    """Print how fast events are exported."""
    call = Call(request_id="bench-bench", at=rt.clock.now(), actor=Operator())
    wanted = ToExport(tenant_id=TenantId(BIG), until=FIRST + timedelta(days=20))
    began = time.perf_counter()
    begun = await exports.begin(rt, call, wanted)
    last = Progress(begun.name, 0, 0.0)
    async for step in exports.run(rt, begun):
        last = step
    took = time.perf_counter() - began
    print(
        f"exported {last.events:,} events ({last.size:,} bytes) in {took:.1f} s:"
        f" {last.events / took:,.0f} a second"
    )


async def drop(url: str) -> None:
    """Print what dropping one month, and then eleven, costs."""
    connection = await asyncpg.connect(url)
    for before in (datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)):
        began = time.perf_counter()
        dropped = await connection.fetchval("SELECT auth_eventos_drop($1)", before)
        print(f"dropped {dropped} months in {time.perf_counter() - began:.3f} s")
    await connection.close()


async def trail(count: int) -> int:
    """Do all of it; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="tesserra-audit-") as folder:
        async with opened(Path(folder)) as (rt, url):
            await fill(rt, url, count, Path(folder))
            await pages(rt)
            await sealing(rt)
            await exporting(rt)
            await sign_ins(rt)
            await drop(url)
    return 0
