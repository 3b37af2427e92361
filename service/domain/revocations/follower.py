"""How a worker keeps its memory current, and knows how current it is.

Every quarter of a second it reads the head of the table: that, and nothing else, proves freshness
as of the moment before it asked.  The Redis stream only wakes it sooner.  Loops restart by
themselves.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from service.domain.revocations import store
from service.domain.revocations.fanout import Fanout
from service.domain.revocations.memory import Memory
from service.domain.revocations.model import Kind, Marks, Revocation
from service.kernel import metrics
from service.kernel.clock import Clock
from service.kernel.log import log
from service.kernel.postgres import Postgres
from service.kernel.redis import Redis, RedisLostError
from service.kernel.refusal import Refused, unavailable

POLL_SECONDS = 0.25
STALE_SECONDS = 1.0
_PAGE = 5_000
_PRUNE_SECONDS = 10.0
_STOP_SECONDS = 0.5


class Follower:
    """Follows the table; answers whether a token is revoked."""

    def __init__(
        self,
        pg: Postgres,
        redis: Redis,
        clock: Clock,
        key_killed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.memory = Memory()
        self._key_killed = key_killed
        self._pg = pg
        self._redis = redis
        self._clock = clock
        self._fanout = Fanout(redis, clock)
        self._fresh_as_of = float("-inf")
        self._pruned = clock.monotonic()
        self._heard = b"$"
        """The newest entry of the stream that was heard of."""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load what is in force, then follow.  Refused(UNAVAILABLE) when it cannot be loaded."""
        await self.catch_up()
        self._tasks = [
            asyncio.create_task(_repeat(name, step), name=f"revocations: {name}")
            for name, step in (
                ("follow", self._follow),
                ("listen", self._listen),
                ("vouch", self._vouch),
            )
        ]

    async def stop(self) -> None:
        """End the loops.

        Asked again until they have ended: a client library loses a cancellation that meets its
        answer.
        """
        running = {task for task in self._tasks if not task.done()}
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_STOP_SECONDS)

    def staleness(self) -> float:
        """Seconds since the memory was last known to be complete."""
        return self._clock.monotonic() - self._fresh_as_of

    def is_fresh(self) -> bool:
        """Tell whether the memory alone may decide."""
        return self.staleness() <= STALE_SECONDS

    async def is_revoked(self, marks: Marks) -> bool:
        """Tell whether a token is revoked.

        From memory while that is fresh; else from Redis while somebody vouches for it; else from
        PostgreSQL.  Refused(UNAVAILABLE) when none can say: never fails open.
        """
        if self.memory.find(marks) is not None:
            return True
        if self.is_fresh():
            return False
        with contextlib.suppress(RedisLostError):
            told = await self._fanout.find(marks)
            if told is not None:
                return told
        async with self._pg.reading() as tx:
            return await store.find_any(tx, marks, self._clock.now()) is not None

    async def current(self) -> Memory:
        """Return a memory that is fresh, catching up first when it is not.

        Refused(UNAVAILABLE) when it cannot be made fresh.
        """
        if not self.is_fresh():
            await self.catch_up()
        if not self.is_fresh():
            raise unavailable("revocations are stale")
        return self.memory

    async def catch_up(self) -> None:
        """Know every revocation committed before this was asked.  Refused(UNAVAILABLE)."""
        async with self._pg.reading() as tx:
            while True:
                asked, known = self._clock.monotonic(), self.memory.seq
                head = await store.read_head(tx)
                if head.epoch != self.memory.epoch or head.seq < known:
                    self._begin_anew(head.epoch)
                    continue
                after = self.memory.seq
                if head.seq <= after:
                    break
                page = await store.list_after(tx, after, self._clock.now(), _PAGE)
                await self._tell_of_killed_keys(page)
                if head.epoch != self.memory.epoch or self.memory.seq < after:
                    continue  # another began anew meanwhile: this page continues nothing any more
                complete = len(page) < _PAGE
                self._measure(page)
                self.memory.apply(page, head.seq if complete else page[-1].seq)
        self._fresh_as_of = max(self._fresh_as_of, asked)

    async def catch_up_to(self, seq: int) -> bool:
        """Look once more whether the table has come as far as `seq`."""
        if seq > self.memory.seq:
            await self.catch_up()
        return seq <= self.memory.seq

    def changed_at(self, kind: Kind, value: str) -> Revocation | None:
        """Return the revocation in force of one mark."""
        return self.memory.find_mark(kind, value)

    async def announce(self, entries: Sequence[Revocation]) -> None:
        """Spread what a decision has committed: here at once, elsewhere by the stream.

        Whatever fails of that is made up for by every worker's own look at the table.  What was to
        outlast its commit and did not is cut off again: a commit may wait for longer than anybody
        reckons, for the counter of the revocations or for a disk.  Refused(UNAVAILABLE) when it
        cannot be: what was done is not acknowledged.
        """
        with contextlib.suppress(Refused):
            await self.catch_up()
        with contextlib.suppress(RedisLostError):
            await self._fanout.wake(entries[-1].seq)
        missed = [entry for entry in entries if entry.missed(self._clock.now())]
        if missed:
            async with self._pg.decision() as tx:  # announced like any other, and looked at again
                for entry in missed:
                    await store.cut_off_again(tx, entry, self._clock.now())

    def _begin_anew(self, epoch: str) -> None:
        """This table may be another: restored from a backup, or a failover that lost commits.

        Its numbers are given out again, so nothing known by number may stay.
        """
        if self.memory.epoch:
            log().warning("revocations of another epoch: read anew")
        self._fresh_as_of = float("-inf")
        self.memory.begin(epoch)

    async def _tell_of_killed_keys(self, page: Sequence[Revocation]) -> None:
        """Have the ring read before a kill takes effect, so that its successor signs without a gap.

        When that fails the kill takes effect all the same: it must not wait for anything.
        """
        if self._key_killed is None or not any(entry.kind is Kind.KID for entry in page):
            return
        try:
            await self._key_killed()
        except Exception as exc:  # noqa: BLE001 - as said
            log().warning("key ring not read after a kill", error=type(exc).__name__)

    def _measure(self, page: Sequence[Revocation]) -> None:
        """Measure how long news took; what was loaded at the start is none."""
        if self._fresh_as_of == float("-inf"):
            return
        now = self._clock.now()
        for entry in page:
            metrics.propagation.observe(max(0.0, (now - entry.revoked_at).total_seconds()))

    async def _follow(self) -> None:
        """Look at the table, when woken or a quarter of a second has gone by."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        self._wake.clear()
        await self.catch_up()
        if self._clock.monotonic() - self._pruned > _PRUNE_SECONDS:
            self.memory.prune(self._clock.now())
            self._pruned = self._clock.monotonic()

    async def _listen(self) -> None:
        """Let the stream wake the follower: news arrives in milliseconds."""
        try:
            newest = await self._redis.await_news(self._fanout.stream, self._heard, 1.0)
        except RedisLostError:
            newest = b"$"
            await asyncio.sleep(POLL_SECONDS)
        if newest != self._heard:
            self._heard = newest
            self._wake.set()

    async def _vouch(self) -> None:
        """Keep Redis filled and vouched for, as long as this worker is fresh itself."""
        if self.staleness() <= 2 * POLL_SECONDS:
            with contextlib.suppress(RedisLostError):
                await self._fanout.vouch(self.memory, self.staleness)
        await asyncio.sleep(POLL_SECONDS)


async def _repeat(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever: a loop outlives every fault, which is logged once."""
    failing = False
    while True:
        try:
            await step()
            failing = False
        except Exception as exc:  # noqa: BLE001 - as said
            if not failing:
                log().warning("revocations not followed", task=name, error=type(exc).__name__)
            failing = True
            await asyncio.sleep(POLL_SECONDS)
