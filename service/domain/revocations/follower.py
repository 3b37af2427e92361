"""Keeps a worker's memory of revocations current, and knows how old it is.

Every quarter of a second it reads the head of the table.  Only that proves that the memory was
complete at the moment before the question.  The Redis stream only wakes it sooner.  The loops
restart by themselves after a failure.
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
    """Follows the table of revocations, and answers whether a token is revoked."""

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
        """The id of the newest stream entry that was seen."""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load the revocations in force, then follow.  Refused(UNAVAILABLE) when that fails."""
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

        They are cancelled repeatedly until they have ended: a client library can lose a
        cancellation that arrives together with its answer.
        """
        running = {task for task in self._tasks if not task.done()}
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_STOP_SECONDS)

    def staleness(self) -> float:
        """Return the seconds since the memory was last known to be complete."""
        return self._clock.monotonic() - self._fresh_as_of

    def is_fresh(self) -> bool:
        """Whether the memory is fresh, so that it alone may decide."""
        return self.staleness() <= STALE_SECONDS

    async def is_revoked(self, marks: Marks) -> bool:
        """Whether a token is revoked.

        Asks the memory while that is fresh, then Redis while a worker vouches for it, then
        PostgreSQL.  Refused(UNAVAILABLE) when none of them can answer: it never fails open.
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
        """Return the memory, after catching up when it is not fresh.

        Refused(UNAVAILABLE) when it cannot be made fresh.
        """
        if not self.is_fresh():
            await self.catch_up()
        if not self.is_fresh():
            raise unavailable("revocations are stale")
        return self.memory

    async def catch_up(self) -> None:
        """Read every revocation that was committed before this call.  Refused(UNAVAILABLE)."""
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
                    continue  # another reader began anew: this page no longer follows
                complete = len(page) < _PAGE
                self._measure(page)
                self.memory.apply(page, head.seq if complete else page[-1].seq)
        self._fresh_as_of = max(self._fresh_as_of, asked)

    async def catch_up_to(self, seq: int) -> bool:
        """Read the table once more; return whether it has reached `seq`."""
        if seq > self.memory.seq:
            await self.catch_up()
        return seq <= self.memory.seq

    def changed_at(self, kind: Kind, value: str) -> Revocation | None:
        """Return the revocation in force for this kind and value; None when there is none."""
        return self.memory.find_mark(kind, value)

    async def announce(self, entries: Sequence[Revocation]) -> None:
        """Spread committed revocations: to this worker at once, to the others by the stream.

        A failure here does no harm: every worker reads the table by itself.  A commit may take
        long, when it waits for the counter of the revocations or for a disk.  If a cutoff was over
        before its commit, it is repeated with a later time.  Refused(UNAVAILABLE) when that fails:
        then the act is not acknowledged.
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
        """Forget everything, since the table is another one now.

        It was restored from a backup, or a failover lost commits.  It gives out the same numbers
        again, so nothing that is known by number may stay.
        """
        if self.memory.epoch:
            log().warning("revocations of another epoch: read anew")
        self._fresh_as_of = float("-inf")
        self.memory.begin(epoch)

    async def _tell_of_killed_keys(self, page: Sequence[Revocation]) -> None:
        """Let the key ring be read before a kill takes effect, so that the successor signs at once.

        If that fails, the kill takes effect all the same: it must not wait.
        """
        if self._key_killed is None or not any(entry.kind is Kind.KID for entry in page):
            return
        try:
            await self._key_killed()
        except Exception as exc:  # noqa: BLE001 - as said
            log().warning("key ring not read after a kill", error=type(exc).__name__)

    def _measure(self, page: Sequence[Revocation]) -> None:
        """Record how long revocations took to arrive here; those of the first load do not count."""
        if self._fresh_as_of == float("-inf"):
            return
        now = self._clock.now()
        for entry in page:
            metrics.propagation.observe(max(0.0, (now - entry.revoked_at).total_seconds()))

    async def _follow(self) -> None:
        """Read the table: when woken, and at least every quarter of a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        self._wake.clear()
        await self.catch_up()
        if self._clock.monotonic() - self._pruned > _PRUNE_SECONDS:
            self.memory.prune(self._clock.now())
            self._pruned = self._clock.monotonic()

    async def _listen(self) -> None:
        """Wake the follower when the stream has a new entry: news arrives in milliseconds."""
        try:
            newest = await self._redis.await_news(self._fanout.stream, self._heard, 1.0)
        except RedisLostError:
            newest = b"$"
            await asyncio.sleep(POLL_SECONDS)
        if newest != self._heard:
            self._heard = newest
            self._wake.set()

    async def _vouch(self) -> None:
        """Keep Redis filled, and vouch for it while this worker itself is fresh."""
        if self.staleness() <= 2 * POLL_SECONDS:
            with contextlib.suppress(RedisLostError):
                await self._fanout.vouch(self.memory, self.staleness)
        await asyncio.sleep(POLL_SECONDS)


async def _repeat(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Run a step forever.  A failure is logged once and does not end the loop."""
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
