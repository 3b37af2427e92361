"""Budgets: never more than the limit in any window, and a wait that is true."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.ratelimits import Budget, RateLimits, subject_of
from service.kernel.call import BudgetState
from service.kernel.clock import Clock
from service.kernel.redis import Redis


class Watch(Clock):
    """A clock whose monotonic reading is set by hand."""

    reading = 1000.0

    def monotonic(self) -> float:
        return self.reading


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    opened = Redis(redis_url, "public", Clock())
    await opened.client.flushdb()
    yield opened
    await opened.close()


@pytest.fixture
async def lost() -> AsyncIterator[tuple[RateLimits, Watch]]:
    """Budgets of a worker whose Redis is gone, and its clock."""
    watch = Watch()
    gone = Redis("redis://127.0.0.1:1/0", "public", watch)
    yield RateLimits(gone, watch, 1), watch
    await gone.close()


@pytest.mark.parametrize("subject", ["192.0.2.1", "2001:db8::/64", "a:b{c}\n"])
async def test_exactly_the_limit_is_granted_to_any_number_at_once(
    redis: Redis, subject: str
) -> None:
    workers = [RateLimits(redis, Clock(), 2) for _ in range(2)]
    budget = Budget("login", 5, 900)
    waits = await asyncio.gather(*(workers[n % 2].spend(budget, subject) for n in range(60)))
    assert waits.count(0) == 5
    assert {wait for wait in waits if wait} <= {899, 900}


async def test_the_wait_is_true_and_not_a_second_longer(redis: Redis) -> None:
    """Real seconds: the server keeps the time."""
    limits, budget = RateLimits(redis, Clock(), 1), Budget("b", 2, 2)
    assert await limits.spend(budget, "s") == 0
    await asyncio.sleep(1.1)
    assert await limits.spend(budget, "s") == 0
    wait = await limits.spend(budget, "s")
    assert wait == 1
    await asyncio.sleep(wait)
    assert await limits.spend(budget, "s") == 0
    assert await limits.spend(budget, "s") in (1, 2)


async def test_a_refused_attempt_costs_nothing(redis: Redis) -> None:
    limits, budget = RateLimits(redis, Clock(), 1), Budget("b", 1, 1)
    assert await limits.spend(budget, "s") == 0
    for _ in range(5):
        assert await limits.spend(budget, "s") == 1
    await asyncio.sleep(1)
    assert await limits.spend(budget, "s") == 0


async def test_buckets_and_subjects_do_not_share(redis: Redis) -> None:
    limits = RateLimits(redis, Clock(), 1)
    assert await limits.spend(Budget("a", 1, 60), "s") == 0
    assert await limits.spend(Budget("b", 1, 60), "s") == 0
    assert await limits.spend(Budget("a", 1, 60), "t") == 0
    assert await limits.spend(Budget("a", 1, 60), "s") > 0


async def test_how_a_budget_stands_is_the_truth_and_costs_nothing(redis: Redis) -> None:
    """The next unit is free again when it says so, whoever keeps the times."""
    gone = Redis("redis://127.0.0.1:1/0", "public", Clock())
    for kept_by in (redis, gone):
        limits, budget = RateLimits(kept_by, Clock(), 1), Budget("b", 3, 2)
        for _ in range(2):
            assert await limits.standing(budget, "s") == BudgetState("b", 3, 2, 3, 0)
        assert await limits.spend(budget, "s") == 0
        await asyncio.sleep(1.1)
        for _ in range(2):
            assert await limits.spend(budget, "s") == 0
        assert await limits.standing(budget, "s") == BudgetState("b", 3, 2, 0, 1)
        assert await limits.spend(budget, "s") == 1
        await asyncio.sleep(1)
        assert await limits.standing(budget, "s") == BudgetState("b", 3, 2, 1, 1)
        assert await limits.spend(budget, "s") == 0
    await gone.close()


async def test_a_key_is_of_constant_size_and_goes_when_its_window_has_passed(
    redis: Redis,
) -> None:
    limits, budget = RateLimits(redis, Clock(), 1), Budget("b", 3, 60)
    for _ in range(20):
        await limits.spend(budget, "s")
    keys: list[Any] = await redis.client.keys("*")
    (key,) = keys
    assert key.startswith(b"tesserra:{public}:")
    assert await redis.client.llen(key) == 3
    assert 0 < await redis.client.pttl(key) <= 60_000


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.1, 1.0, 2.5, 9.9, 10.0, 10.1]), max_size=60),
    count=st.integers(1, 5),
)
async def test_in_memory_too_no_window_holds_more_than_the_limit(
    lost: tuple[RateLimits, Watch], gaps: list[float], count: int
) -> None:
    limits, watch = lost
    budget = Budget("b", count, 10)
    watch.reading += 1000
    spent: deque[float] = deque()
    for gap in gaps:
        watch.reading += gap
        wait = await limits.spend(budget, "s")
        if wait == 0:
            spent.append(watch.reading)
        else:
            assert 1 <= wait <= 10
            assert len(spent) >= count
            assert spent[-count] + 10 - watch.reading <= wait
        assert sum(1 for at in spent if at > watch.reading - 10) <= count


async def test_while_redis_is_gone_a_worker_grants_its_share_and_never_nothing(
    redis: Redis,
) -> None:
    gone = Redis("redis://127.0.0.1:1/0", "public", Clock())
    limits = RateLimits(gone, Clock(), 4)
    granted = [await limits.spend(Budget("b", 20, 60), "s") for _ in range(30)].count(0)
    assert granted == 5
    granted = [await limits.spend(Budget("c", 2, 60), "s") for _ in range(30)].count(0)
    assert granted == 1
    await gone.close()


async def test_what_is_remembered_in_memory_is_bounded(
    lost: tuple[RateLimits, Watch],
) -> None:
    limits, _ = lost
    for n in range(10_500):
        await limits.spend(Budget("b", 1, 60), str(n))
    assert len(limits._spent) <= 10_000
    assert await limits.spend(Budget("b", 1, 60), "10499") > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:0DB8:0:0::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        (None, None, True),
        (None, "192.0.2.1", False),
    ],
)
def test_who_is_one_caller(one: str | None, other: str | None, *, same: bool) -> None:
    assert (subject_of(one) == subject_of(other)) is same
