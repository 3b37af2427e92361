"""How a worker keeps its memory current, and knows how current it is.

Every quarter of a second it reads the head of the table: that, and nothing else, proves freshness
as of the moment before it asked.  The Redis stream only wakes it sooner.  Loops restart by
themselves.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from service.domain.revocations import store
from service.domain.revocations.memory import Memory
from service.domain.revocations.model import Marks, Revocation
from service.kernel.clock import Clock
from service.kernel.log import log
from service.kernel.postgres import Postgres
from service.kernel.redis import Redis, RedisLostError
from service.kernel.refusal import Refused

POLL_SECONDS = 0.25
STALE_SECONDS = 1.0
_PAGE = 5_000
_PRUNE_SECONDS = 10.0
_STREAM_LENGTH = 1_000


class Follower:
    """Follows the table; answers whether a token is revoked."""

    def __init__(self, pg: Postgres, redis: Redis, clock: Clock) -> None:
        self.memory = Memory()
        self._pg = pg
        self._redis = redis
        self._clock = clock
        self._stream = f"{redis.prefix}revocations"
        self._fresh_as_of = float("-inf")
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load what is in force, then follow.  Refused(UNAVAILABLE) when it cannot be loaded."""
        await self._catch_up()
        self._tasks = [
            asyncio.create_task(self._follow(), name="revocations: follow"),
            asyncio.create_task(self._listen(), name="revocations: listen"),
        ]

    async def stop(self) -> None:
        """End the loops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def staleness(self) -> float:
        """Seconds since the memory was last known to be complete."""
        return self._clock.monotonic() - self._fresh_as_of

    async def find(self, marks: Marks) -> Revocation | None:
        """Return a revocation that hits a token.

        From memory while that is fresh; from PostgreSQL when it is not.  Refused(UNAVAILABLE) when
        neither can vouch: never fails open.
        """
        if self.staleness() <= STALE_SECONDS:
            return self.memory.find(marks)
        found = self.memory.find(marks)
        if found is not None:
            return found
        async with self._pg.reading() as tx:
            return await store.find_any(tx, marks, self._clock.now())

    async def announce(self, entries: Sequence[Revocation]) -> None:
        """Spread entries whose transaction has committed: here at once, elsewhere by the stream."""
        if not entries:
            return
        await self._sync()
        task = asyncio.create_task(self._publish(entries[-1].seq))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish(self, seq: int) -> None:
        with contextlib.suppress(RedisLostError):
            await self._redis.ask(
                lambda client: client.xadd(
                    self._stream, {"seq": seq}, maxlen=_STREAM_LENGTH, approximate=True
                )
            )

    async def _sync(self) -> None:
        with contextlib.suppress(Refused):
            await self._catch_up()

    async def _catch_up(self) -> None:
        async with self._pg.reading() as tx:
            while True:
                asked = self._clock.monotonic()
                head = await store.read_head(tx)
                if head <= self.memory.seq:
                    break
                at = self._clock.now()
                page = await store.list_after(tx, self.memory.seq, at, _PAGE)
                complete = len(page) < _PAGE
                self.memory.apply(page, head if complete else page[-1].seq)
        self._fresh_as_of = max(self._fresh_as_of, asked)

    async def _follow(self) -> None:
        pruned = self._clock.monotonic()
        failing = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._catch_up()
                failing = False
                if self._clock.monotonic() - pruned > _PRUNE_SECONDS:
                    self.memory.prune(self._clock.now())
                    pruned = self._clock.monotonic()
            except Exception as exc:  # noqa: BLE001 - the loop outlives every fault
                if not failing:
                    log().warning("revocations not followed", error=str(exc))
                failing = True

    async def _listen(self) -> None:
        last: Any = b"$"
        while True:
            try:
                streams: Any = await self._redis.blocking.xread({self._stream: last}, block=1_000)
                if streams:
                    last = streams[0][1][-1][0]
                    self._wake.set()
            except (RedisError, OSError, TimeoutError):
                last = b"$"
                self._wake.set()
                await asyncio.sleep(POLL_SECONDS)
