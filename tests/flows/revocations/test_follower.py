"""A worker's revocations: never a hole, never open when nobody can vouch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

import pytest

from service.domain import revocations
from service.domain.revocations import Follower, Kind, Marks, Memory, Revocation
from service.domain.revocations.fanout import Fanout
from service.kernel.clock import Clock
from service.kernel.redis import Redis
from service.kernel.refusal import Refused
from service.runtime import Runtime


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
        head = await revocations.read_head(tx)
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
    entries = await revoke(rt, "a")
    await rt.revocations.announce(entries)
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
    await rt.revocations.announce(await revoke(rt, "a"))
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
    await rt.revocations.announce(await revoke(rt, "a"))
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
            entries = await revocations.revoke(
                tx,
                Kind.SUB,
                ["s"],
                tenant_id=None,
                reason="test",
                at=cutoff,
                expires_at=now + timedelta(hours=1),
            )
        await rt.revocations.announce(entries)
    await rt.revocations.stop()
    await rt.redis.client.flushdb()
    fanout = Fanout(rt.redis, rt.clock)
    await fanout.vouch(rt.revocations.memory, lambda: 0.0)
    between = Marks(jti="j", iat=int(now.timestamp()) - 2, kid="k", sub="s", client_id="c")
    assert await fanout.find(between) is True


async def test_when_nobody_can_vouch_nothing_is_accepted(rt: Runtime) -> None:
    dead = Redis("redis://127.0.0.1:1/0", "public", Clock())
    stale = Follower(rt.pg, dead, rt.clock)
    await rt.revocations.stop()
    await rt.pg._pool.close()
    with pytest.raises(Refused, match="postgresql"):
        await stale.is_revoked(marks("a"))
    await dead.close()
