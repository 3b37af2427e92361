"""Names that may be used once, such as the `jti` of a client assertion.

Used names are kept in Redis until they expire, and in memory for the time when Redis is lost.
"""

from collections import OrderedDict

from service.kernel.clock import Clock
from service.kernel.redis import Redis, RedisLostError

_REMEMBERED = 50_000


class Once:
    """The used names of one purpose, each kept until it expires."""

    def __init__(self, redis: Redis, clock: Clock, purpose: str) -> None:
        self._redis = redis
        self._clock = clock
        self._prefix = f"{redis.prefix}once:{purpose}:"
        self._used: OrderedDict[str, float] = OrderedDict()

    async def use(self, name: str, seconds: int) -> bool:
        """Use a name for `seconds`; False when it is in use already.

        The name is kept in memory too, in case Redis is lost.
        """
        now = self._clock.monotonic()
        while self._used and next(iter(self._used.values())) <= now - _LONGEST:
            self._used.popitem(last=False)
        if self._used.get(name, 0.0) > now:
            return False
        self._used[name] = now + seconds
        if len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)
        try:
            first = await self._redis.ask(
                lambda client: client.set(self._prefix + name, b"", ex=max(1, seconds), nx=True)
            )
        except RedisLostError:
            return True
        return first is not None


_LONGEST = 3600.0
