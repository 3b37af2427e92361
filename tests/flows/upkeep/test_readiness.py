"""Whether a worker is fit to serve, as /readyz says it."""

import asyncio

import httpx2
import pytest

from service.flows.upkeep.readiness import check_readiness
from service.runtime import Runtime


async def redis_answers(rt: Runtime) -> None:
    """Wait until Redis answers in its quarter of a second: a busy machine may take longer."""
    async with asyncio.timeout(20):
        while not await rt.redis.ping():
            await asyncio.sleep(0.2)


async def test_a_worker_in_order_is_ready(rt: Runtime, client: httpx2.AsyncClient) -> None:
    await redis_answers(rt)
    assert set((await check_readiness(rt)).checks.values()) == {True}
    assert (await client.get("/readyz")).status_code == 200


async def test_a_worker_whose_revocations_are_not_followed_is_not_ready(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await rt.revocations.stop()
    rt.revocations._fresh_as_of -= 5
    await redis_answers(rt)
    readiness = await check_readiness(rt)
    assert [name for name, good in readiness.checks.items() if not good] == ["revocations"]
    assert not readiness.ready
    assert (await client.get("/readyz")).status_code == 503


async def test_without_redis_a_worker_says_so_and_serves(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rt.redis.close()
    monkeypatch.setattr(rt.redis, "_closed_until", float("inf"))
    readiness = await check_readiness(rt)
    assert (readiness.checks["redis"], readiness.ready) == (False, True)
