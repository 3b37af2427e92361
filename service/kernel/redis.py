"""Redis: what is fast and may be lost.  Fails in milliseconds, never blocks a decision.

The client's own defaults would retry a script eleven times and take seconds to give up on a dead
server; here nothing is retried, and after a failure nobody asks again for a second.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.kernel import causes
from service.kernel.clock import Clock
from service.kernel.log import log

T = TypeVar("T")

_LOST = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a server that went away raises.  RuntimeError is uvloop's, of a connection that was reset
while a command was on its way to it."""

_TIMEOUT = 0.25
_PAUSE = 1.0
_CHECK_MS = 1000


class RedisLostError(Exception):
    """Redis did not answer, or did not a moment ago."""


class Redis:
    """The pool, its circuit breaker, and the prefix of this deployment's keys."""

    def __init__(self, url: str, schema: str, clock: Clock) -> None:
        """ValueError, which does not show it, when the URL is none of Redis."""
        try:
            self._pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=32,
                timeout=_TIMEOUT,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
            # A connection of its own for what waits on purpose, with a timeout beyond that wait.
            self._blocking = redis.asyncio.Redis.from_url(
                url,
                socket_timeout=5,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
        except (ValueError, OSError) as exc:
            raise ValueError(causes.redis_url(exc)) from None
        self.client = redis.asyncio.Redis(connection_pool=self._pool)
        self._clock = clock
        self._closed_until = 0.0
        self._lost = False
        self._denied: set[str] = set()
        # One hash tag: every key of a script lives in one slot of a cluster.
        self.prefix = f"tesserra:{{{schema}}}:"

    async def ask(self, question: Callable[[redis.asyncio.Redis], Awaitable[T]]) -> T:
        """Ask; RedisLostError when there is no answer, at once while the breaker is open."""
        if self._clock.monotonic() < self._closed_until:
            raise RedisLostError("breaker is open")
        try:
            answer = await question(self.client)
        except _LOST as exc:
            if denied := causes.denied(exc):
                self._note_denied(denied)
                raise RedisLostError(denied) from exc
            self._closed_until = self._clock.monotonic() + _PAUSE
            why = causes.cache(exc)
            self._note(lost=True, error=why)
            # A server that ended took the idle connections along; each would fail once more later.
            with contextlib.suppress(*_LOST):
                await self._pool.disconnect(inuse_connections=False)
            raise RedisLostError(why) from exc
        self._note(lost=False)
        return answer

    async def await_news(self, stream: str, last: bytes, seconds: float) -> bytes:
        """Wait for an entry of a stream newer than `last`; return the newest id, or `last`.

        RedisLostError when the connection breaks.
        """
        try:
            streams: Any = await self._blocking.xread({stream: last}, block=int(seconds * 1000))
        except _LOST as exc:
            if denied := causes.denied(exc):
                self._note_denied(denied)
            raise RedisLostError(causes.cache(exc)) from exc
        newest: bytes = streams[0][1][-1][0] if streams else last
        return newest

    async def ping(self) -> bool:
        """Tell whether it answers."""
        try:
            await self.ask(lambda client: client.exists(self.prefix))
        except RedisLostError:
            return False
        return True

    async def check(self) -> None:
        """Use every command we need once.  RedisLostError says why, or what is not allowed."""
        key = f"{self.prefix}check"

        async def use(client: redis.asyncio.Redis) -> list[Any]:
            sha = await client.script_load("return redis.call('TIME')[1]")
            pipe = client.pipeline(transaction=False)
            pipe.time()
            pipe.exists(key)
            pipe.set(key, b"", px=_CHECK_MS)
            pipe.get(key)
            pipe.mget([key])
            pipe.rpush(f"{key}:list", b"")
            pipe.pexpire(f"{key}:list", _CHECK_MS)
            pipe.ltrim(f"{key}:list", -1, -1)
            pipe.lindex(f"{key}:list", 0)
            pipe.lrange(f"{key}:list", 0, -1)
            pipe.xadd(f"{key}:stream", {"seq": 0}, maxlen=1, approximate=True)
            pipe.pexpire(f"{key}:stream", _CHECK_MS)
            pipe.xread({f"{key}:stream": "0"})
            pipe.evalsha(sha, 0)
            told: list[Any] = await pipe.execute(raise_on_error=False)
            return told

        answers = await self.ask(use)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise RedisLostError(causes.cache(answer))

    def _note_denied(self, what: str) -> None:
        """Say once what the user may not do: everything else goes on."""
        if what not in self._denied:
            self._denied.add(what)
            log().warning("redis refuses", error=what)

    def _note(self, *, lost: bool, error: str | None = None) -> None:
        """Say once that it is lost, and once that it is back."""
        if lost != self._lost:
            self._lost = lost
            log().warning("redis lost" if lost else "redis back", error=error)

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        await self._blocking.aclose()
        await self._pool.disconnect()
