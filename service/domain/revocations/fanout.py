"""The copy of the revocations in Redis, and a stream that wakes the workers.

Keys `revoked:<kind>:<value>` hold the cutoff in seconds, or nothing, and expire together with the
tokens that they revoke.  For a person in one organization, the value is followed by a space and the
organization's id.

Key `revocations:head` vouches for the copy.  A worker sets it when it has read the head of the
table within the last second and has written everything up to it.  A Redis that lost its memory has
no such key and is filled again.  Meanwhile the key is there and empty, and it gets its value only
if it is still there, so that no worker vouches for data that was lost in between.
"""

from collections.abc import Callable, Sequence

from service.domain.revocations.memory import Memory
from service.domain.revocations.model import Mark, Marks, Revocation
from service.kernel.clock import Clock
from service.kernel.redis import Redis

_OLDEST_MS = 1_000
_FILLED_MS = 60_000
_CHUNK = 1_000
_STREAM_LENGTH = 1_000


class Fanout:
    """Writes revocations to Redis and looks them up there.  RedisLostError without an answer."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self.stream = f"{redis.prefix}revocations"
        self._head = f"{redis.prefix}revocations:head"
        self._published = ("", 0)
        """Epoch and `seq` of the newest entry that this worker wrote to Redis."""

    async def vouch(self, memory: Memory, staleness: Callable[[], float]) -> None:
        """Write everything up to `memory.seq` to Redis, then set `revocations:head`.

        That key lives just so long that what it vouches for is never more than a second old.
        """
        epoch, head = memory.epoch, memory.seq
        vouched = await self._redis.ask(lambda client: client.get(self._head))
        if not vouched:
            await self._redis.ask(lambda client: client.set(self._head, b"", px=_FILLED_MS))
        if not vouched or epoch != self._published[0]:
            self._published = (epoch, 0)
        entries = memory.after(self._published[1])
        for start in range(0, len(entries), _CHUNK):
            await self._put(memory, entries[start : start + _CHUNK])
        left = _OLDEST_MS - staleness() * 1000
        if left < 1 or epoch != memory.epoch:
            return
        kept = await self._redis.ask(
            lambda client: client.set(self._head, head, px=int(left), xx=True)
        )
        self._published = (epoch, head if kept else 0)

    async def wake(self, seq: int) -> None:
        """Tell all workers, by the stream, that there is a new revocation."""
        await self._redis.ask(
            lambda client: client.xadd(
                self.stream, {"seq": seq}, maxlen=_STREAM_LENGTH, approximate=True
            )
        )

    async def find(self, marks: Marks) -> bool | None:
        """Whether a token is revoked; None when no worker vouches for the data in Redis."""
        keys = [self._key(mark) for mark in marks.pairs()]
        head, *found = await self._redis.ask(lambda client: client.mget([self._head, *keys]))
        if not head:
            return None
        return any(
            cutoff == b"" or marks.iat <= int(cutoff) for cutoff in found if cutoff is not None
        )

    async def _put(self, memory: Memory, entries: Sequence[Revocation]) -> None:
        """Write the marks of these entries.  Two entries may share a mark: both are joined then."""
        now = self._clock.now()
        pipe = self._redis.client.pipeline(transaction=False)
        for entry in filter(None, (memory.find_mark(*one.mark) for one in entries)):
            lasts = int((entry.expires_at - now).total_seconds() * 1000)
            if lasts > 0:
                cutoff = "" if entry.cutoff is None else str(int(entry.cutoff.timestamp()))
                pipe.set(self._key(entry.mark), cutoff, px=lasts)
        await self._redis.ask(lambda _client: pipe.execute())

    def _key(self, mark: Mark) -> str:
        kind, value = mark
        return f"{self._redis.prefix}revoked:{kind}:{value}"
