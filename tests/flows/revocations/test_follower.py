"""A worker's revocations: never a hole, never open when nobody can vouch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from service.domain import revocations
from service.domain.revocations import Follower, Kind, Marks, Memory, Revocation
from service.domain.revocations.fanout import Fanout
from service.flows.clients.create import create_client
from service.flows.oauth.authenticate_client import ClientCredentials, authenticate_client
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call, Operator
from service.kernel.clock import Clock
from service.kernel.ids import TenantId
from service.kernel.redis import Redis
from service.kernel.refusal import Refused
from service.kernel.secret import Secret
from service.kernel.sql import Tx
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests.servers import cloned_database, redis_database


def marks(jti: str) -> Marks:
    return Marks(jti=jti, iat=0, kid="k", sub="s", client_id="c")


async def revoke(rt: Runtime, *jtis: str) -> list[Revocation]:
    async with rt.pg.decision() as tx:
        return await revocations.revoke(
            tx,
            Kind.JTI,
            jtis,
            tenant_id=None,
            reason="test",
            at=rt.clock.now(),
            expires_at=rt.clock.now() + timedelta(hours=1),
        )


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def other(rt: Runtime) -> AsyncIterator[Follower]:
    """Another worker of the deployment."""
    follower = Follower(rt.pg, rt.redis, rt.clock)
    await follower.start()
    yield follower
    await follower.stop()


async def test_interleaved_commits_and_rollbacks_leave_no_hole_and_no_skip(
    rt: Runtime, other: Follower
) -> None:
    reached: list[int] = []

    async def read() -> None:
        while True:
            async with rt.pg.reading() as tx:
                page = await revocations.list_after(
                    tx, reached[-1] if reached else 0, rt.clock.now(), 100
                )
            reached.extend(entry.seq for entry in page)
            await asyncio.sleep(0)

    async def write(number: int) -> None:
        try:
            async with rt.pg.decision() as tx:
                await revocations.revoke(
                    tx,
                    Kind.JTI,
                    [f"{number}-{n}" for n in range(1 + number % 3)],
                    tenant_id=None,
                    reason="test",
                    at=rt.clock.now(),
                    expires_at=rt.clock.now() + timedelta(hours=1),
                )
                await asyncio.sleep(0.001 * (number % 5))
                if number % 4 == 0:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(number) for number in range(60)))
    async with rt.pg.reading() as tx:
        head = (await revocations.read_head(tx)).seq
    assert head == sum(1 + n % 3 for n in range(60) if n % 4)
    await until(lambda: len(reached) >= head)
    reader.cancel()
    assert reached == list(range(1, head + 1))
    await until(lambda: other.memory.seq == head)
    assert len(other.memory) == head


async def test_another_worker_knows_within_a_second_without_redis(
    rt: Runtime, settings_without_redis: Follower
) -> None:
    began = rt.clock.monotonic()
    await revoke(rt, "a")
    await until(lambda: settings_without_redis.memory.seq == 1)
    assert rt.clock.monotonic() - began < 1.0


@pytest.fixture
async def settings_without_redis(rt: Runtime) -> AsyncIterator[Follower]:
    """A worker whose Redis refuses connections."""
    dead = Redis("redis://127.0.0.1:1/0", "public", rt.clock)
    follower = Follower(rt.pg, dead, rt.clock)
    await follower.start()
    yield follower
    await follower.stop()
    await dead.close()


async def test_a_stale_worker_asks_redis_while_somebody_vouches(
    rt: Runtime, other: Follower
) -> None:
    await revoke(rt, "a")
    stale = Follower(rt.pg, rt.redis, rt.clock)  # never started: knows nothing, is not fresh

    async def told() -> bool:
        return await stale._fanout.find(marks("a")) is True

    async with asyncio.timeout(5):
        while not await told():
            await asyncio.sleep(0.02)
    assert await stale.is_revoked(marks("a"))
    assert not await stale.is_revoked(marks("b"))


async def test_redis_that_lost_its_memory_is_not_believed_and_is_filled_anew(
    rt: Runtime, other: Follower
) -> None:
    await revoke(rt, "a")
    await rt.redis.client.flushdb()
    stale = Follower(rt.pg, rt.redis, rt.clock)
    assert await stale.is_revoked(marks("a"))  # by PostgreSQL, or by a Redis that is filled again
    async with asyncio.timeout(5):
        while await stale._fanout.find(marks("a")) is None:
            await asyncio.sleep(0.02)
    assert await stale._fanout.find(marks("a")) is True


async def test_redis_that_loses_its_memory_while_it_is_filled_is_not_vouched_for(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await revoke(rt, "a")
    await rt.revocations.stop()
    fanout = Fanout(rt.redis, rt.clock)
    put = fanout._put

    async def put_and_lose(memory: Memory, entries: Sequence[Revocation]) -> None:
        await put(memory, entries)
        await rt.redis.client.flushdb()

    await rt.redis.client.flushdb()
    with monkeypatch.context() as during:
        during.setattr(fanout, "_put", put_and_lose)
        await fanout.vouch(rt.revocations.memory, lambda: 0.0)
    assert await fanout.find(marks("a")) is None
    await fanout.vouch(rt.revocations.memory, lambda: 0.0)
    assert await fanout.find(marks("a")) is True


async def test_of_two_cutoffs_redis_keeps_the_later_whichever_committed_last(rt: Runtime) -> None:
    now = rt.clock.now()
    for cutoff in (now, now - timedelta(seconds=5)):
        async with rt.pg.decision() as tx:
            await revocations.revoke(
                tx,
                Kind.SUB,
                ["s"],
                tenant_id=None,
                reason="test",
                at=cutoff,
                expires_at=now + timedelta(hours=1),
            )
    await rt.revocations.stop()
    await rt.redis.client.flushdb()
    fanout = Fanout(rt.redis, rt.clock)
    await fanout.vouch(rt.revocations.memory, lambda: 0.0)
    between = Marks(jti="j", iat=int(now.timestamp()) - 2, kid="k", sub="s", client_id="c")
    assert await fanout.find(between) is True


async def test_who_is_cut_off_in_one_organization_is_so_there_alone_by_memory_redis_and_table(
    rt: Runtime,
) -> None:
    now, here, there = rt.clock.now(), TenantId(uuid4()), TenantId(uuid4())
    async with rt.pg.decision() as tx:
        (entry,) = await revocations.revoke(
            tx,
            Kind.SUB,
            ["s"],
            tenant_id=here,
            reason="test",
            at=now,
            expires_at=now + timedelta(hours=1),
        )
    fanout = Fanout(rt.redis, rt.clock)
    await fanout.vouch(rt.revocations.memory, lambda: 0.0)
    for tenant_id, hit in ((str(here), True), (str(there), False), (None, False)):
        marks = Marks(
            jti="j", iat=int(now.timestamp()), kid="k", sub="s", client_id="c", tenant_id=tenant_id
        )
        assert (rt.revocations.memory.find(marks) is not None) is hit
        assert await fanout.find(marks) is hit
        async with rt.pg.reading() as tx:
            assert (await revocations.find_any(tx, marks, now) is not None) is hit
    rt.revocations.memory.prune(now + timedelta(hours=2))
    assert len(rt.revocations.memory) == 0
    assert rt.revocations.memory.find_mark(*entry.mark) is None


@pytest.fixture
async def apart(settings: Settings) -> AsyncIterator[Runtime]:
    """A worker on a database of its own, whose tables may be put back."""
    with cloned_database() as url, redis_database() as redis_url:
        own = replace(settings, database_url=Secret(url), redis_url=Secret(redis_url))
        async with open_runtime(own) as rt:
            yield rt


async def put_back(tx: Tx, seq: int) -> None:
    """Leave what a restore leaves: the entries up to a number, and another table."""
    await tx.execute("ALTER TABLE auth_revocation_head RENAME TO lost")
    await tx.execute("CREATE TABLE auth_revocation_head (LIKE lost INCLUDING ALL)")
    await tx.execute("INSERT INTO auth_revocation_head (seq) VALUES ($1)", seq)
    await tx.execute("DROP TABLE lost")
    await tx.execute("DELETE FROM auth_revocations WHERE seq > $1", seq)


async def test_a_table_that_was_restored_and_outgrew_what_is_known_is_read_anew(
    apart: Runtime,
) -> None:
    await revoke(apart, "a", "b", "c")

    async def in_redis(jti: str) -> bool:
        return await apart.revocations._fanout.find(marks(jti)) is True

    async with asyncio.timeout(5):
        while not await in_redis("c"):
            await asyncio.sleep(0.02)
    epoch = apart.revocations.memory.epoch
    async with apart.pg.decision() as tx:
        await put_back(tx, 1)
        await revocations.revoke(
            tx,
            Kind.JTI,
            ["d", "e", "f", "g"],  # as 2 to 5: two of these were read before, as b and c
            tenant_id=None,
            reason="test",
            at=apart.clock.now(),
            expires_at=apart.clock.now() + timedelta(hours=1),
        )
    await apart.revocations.catch_up()
    assert apart.revocations.memory.epoch != epoch
    assert apart.revocations.memory.seq == 5
    for jti in "adefg":
        assert await apart.revocations.is_revoked(marks(jti)), jti
    async with asyncio.timeout(5):
        while not await in_redis("d"):
            await asyncio.sleep(0.02)


async def test_what_is_known_of_a_client_does_not_outlive_the_epoch_it_was_read_in(
    apart: Runtime,
) -> None:
    call = Call(request_id="r", at=apart.clock.now(), actor=Operator())
    made = await create_client(apart, call, NewClient(name="orders", scopes=("agentes",)))
    presented = ClientCredentials(made.client.client_id, made.secret)
    await revoke(apart, "a", "b", "c")
    assert await authenticate_client(apart, call, presented) == made.client
    async with apart.pg.decision() as tx:
        await put_back(tx, 0)
        await tx.execute("UPDATE auth_clients SET disabled_at = now() WHERE client_id <> 'console'")
        # the first of them is the client's, by a number from before the client was read
        for kind in (Kind.CLIENT_ID, Kind.JTI, Kind.JTI, Kind.JTI):
            await revocations.revoke(
                tx,
                kind,
                [made.client.client_id],
                tenant_id=None,
                reason="test",
                at=apart.clock.now(),
                expires_at=apart.clock.now() + timedelta(hours=1),
            )
    await apart.revocations.catch_up()
    with pytest.raises(Refused):
        await authenticate_client(apart, call, presented)


async def test_readers_that_begin_anew_at_a_time_lose_no_page(
    apart: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.domain.revocations.follower._PAGE", 5)
    await revoke(apart, *(f"{n}" for n in range(23)))
    await apart.revocations.stop()

    async def disturb() -> None:
        for _ in range(20):
            apart.revocations._begin_anew(apart.revocations.memory.epoch)
            await asyncio.sleep(0.001)

    await asyncio.gather(disturb(), *(apart.revocations.catch_up() for _ in range(8)))
    await apart.revocations.catch_up()
    assert [entry.seq for entry in apart.revocations.memory.after(0)] == list(range(1, 24))


async def test_a_loop_outlives_whatever_ends_a_round_of_it(
    rt: Runtime, other: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_follow", "_listen", "_vouch"):
        assert any(name.strip("_") in task.get_name() for task in other._tasks)

    async def nonsense(*_: object) -> bytes:
        raise LookupError("an answer nobody expected")

    with monkeypatch.context() as during:
        during.setattr(other._redis, "await_news", nonsense)
        during.setattr(other, "catch_up", nonsense)
        await asyncio.sleep(1.5)  # one wait for news and more
    assert not any(task.done() for task in other._tasks)
    await revoke(rt, "a")
    await until(lambda: other.memory.find(marks("a")) is not None)


async def test_when_nobody_can_vouch_nothing_is_accepted(rt: Runtime) -> None:
    dead = Redis("redis://127.0.0.1:1/0", "public", Clock())
    stale = Follower(rt.pg, dead, rt.clock)
    await rt.revocations.stop()
    await rt.pg._pool.close()
    with pytest.raises(Refused, match="postgresql"):
        await stale.is_revoked(marks("a"))
    await dead.close()
