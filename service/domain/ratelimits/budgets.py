"""Counts requests against budgets: in Redis or, while Redis is lost, in memory."""

import ipaddress
import math
from collections import OrderedDict, deque
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from service.kernel.batch import Batcher
from service.kernel.call import BudgetState
from service.kernel.clock import Clock
from service.kernel.redis import Redis, RedisLostError

_SPEND = Path(__file__).with_name("spend.lua").read_text()
_STANDING = Path(__file__).with_name("standing.lua").read_text()
_REMEMBERED = 10_000


class Budget(Struct, frozen=True):
    """At most `count` in any `window` seconds, for each subject of a bucket."""

    bucket: str
    count: int
    window: int


class _Asked(Struct, frozen=True):
    budget: Budget
    key: str


class RateLimits:
    """The budgets of all workers together; while Redis is lost, of this worker alone."""

    def __init__(self, redis: Redis, clock: Clock, workers: int) -> None:
        self._redis = redis
        self._script = redis.client.register_script(_SPEND)
        self._look = redis.client.register_script(_STANDING)
        self._clock = clock
        self._workers = workers
        self._spent: OrderedDict[str, deque[float]] = OrderedDict()
        self._empty: OrderedDict[str, float] = OrderedDict()
        # Several units of one budget may be spent by one call of the script.
        self._batcher = Batcher(self._spend, key=id, flights=1)

    async def spend(self, budget: Budget, subject: str) -> int:
        """Spend one unit.  Returns 0, or the whole seconds until one is free again."""
        key = self._key(budget, subject)
        wait = math.ceil(await self._batcher.ask(_Asked(budget, key)) / 1000)
        if wait:
            self._empty[key] = self._clock.monotonic() + wait
            self._empty.move_to_end(key)
            if len(self._empty) > _REMEMBERED:
                self._empty.popitem(last=False)
        return wait

    async def standing(self, budget: Budget, subject: str) -> BudgetState:
        """Return the state of a budget without spending."""
        key = self._key(budget, subject)

        async def run(client: Any) -> tuple[int, int]:
            spent, wait = await self._look(keys=[key], args=[budget.window * 1000], client=client)
            return budget.count - spent, wait

        try:
            left, wait = await self._redis.ask(run)
        except RedisLostError:
            times = self._times_here(key, budget.window)
            left = self._share(budget) - len(times)
            wait = self._until_free(times, budget.window) if times else 0
        seconds = math.ceil(wait / 1000)
        return BudgetState(budget.bucket, budget.count, budget.window, max(0, left), seconds)

    def known_empty(self, budget: Budget, subject: str) -> int:
        """Return for how many seconds a budget is empty, as far as this worker knows.  No query."""
        until = self._empty.get(self._key(budget, subject), 0.0)
        return max(0, math.ceil(until - self._clock.monotonic()))

    def _key(self, budget: Budget, subject: str) -> str:
        return f"{self._redis.prefix}limit:{budget.bucket}:{subject}"

    async def _spend(self, asked: list[_Asked]) -> list[int]:
        keys = [a.key for a in asked]
        arguments = [part for a in asked for part in (a.budget.count, a.budget.window * 1000)]

        async def run(client: Any) -> list[int]:
            waits: list[int] = await self._script(keys=keys, args=arguments, client=client)
            return waits

        try:
            return await self._redis.ask(run)
        except RedisLostError:
            return [self._spend_here(a) for a in asked]

    def _spend_here(self, asked: _Asked) -> int:
        times = self._times_here(asked.key, asked.budget.window)
        if len(times) >= self._share(asked.budget):
            return self._until_free(times, asked.budget.window)
        times.append(self._clock.monotonic())
        return 0

    def _share(self, budget: Budget) -> int:
        return max(1, budget.count // self._workers)

    def _times_here(self, key: str, window: int) -> deque[float]:
        """Return when this worker spent units within the window, the oldest first."""
        now = self._clock.monotonic()
        times = self._spent.pop(key, None) or deque()
        while times and times[0] <= now - window:
            times.popleft()
        self._spent[key] = times
        if len(self._spent) > _REMEMBERED:
            self._spent.popitem(last=False)
        return times

    def _until_free(self, times: deque[float], window: int) -> int:
        """Return the milliseconds until the oldest time leaves the window."""
        return math.ceil((times[0] + window - self._clock.monotonic()) * 1000)


@lru_cache(4096)
def subject_of(ip: str | None) -> str:
    """Return the subject of an address: the IPv4 address, or the /64 of an IPv6 address.

    An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
    """
    if ip is None:
        return "unknown"
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(address)
