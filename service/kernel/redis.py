"""Redis: for data that must be fast and may be lost.  A failure takes milliseconds.

By default the client library retries a script eleven times and takes seconds to give up on a dead
server.  Here nothing is retried, and for one second after a failure no command is sent.
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
"""Errors of a lost server.  RuntimeError comes from uvloop, when a connection is reset while a
command is being sent."""

_TIMEOUT = 0.25
_PAUSE = 1.0
_CHECK_MS = 1000


class RedisLostError(Exception):
    """Redis did not answer, now or within the last second."""


class Redis:
    """The pool, its circuit breaker, and the prefix of this deployment's keys."""

    def __init__(self, url: str, schema: str, clock: Clock) -> None:
        """ValueError when the URL is not a Redis URL; its text hides the URL."""
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
            # Commands that wait on purpose use another pool, with a longer timeout.
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
        # The braces are a hash tag: all keys are in one slot of a cluster, as scripts require.
        self.prefix = f"tesserra:{{{schema}}}:"

    async def ask(self, question: Callable[[redis.asyncio.Redis], Awaitable[T]]) -> T:
        """Ask Redis.  RedisLostError without an answer; at once while the breaker is open."""
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
            # The idle connections of a server that ended are dead, and each would fail once more.
            with contextlib.suppress(*_LOST):
                await self._pool.disconnect(inuse_connections=False)
            raise RedisLostError(why) from exc
        self._note(lost=False)
        return answer

    async def await_news(self, stream: str, last: bytes, seconds: float) -> bytes:
        """Wait for a stream entry newer than `last`; return the newest id, or `last` if none came.

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
        """Whether Redis answers."""
        try:
            await self.ask(lambda client: client.exists(self.prefix))
        except RedisLostError:
            return False
        return True

    async def check(self) -> None:
        """Use each command we need once.  RedisLostError says what failed or is not allowed."""
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
        """Log once that the Redis user may not do something.  Everything else goes on."""
        if what not in self._denied:
            self._denied.add(what)
            log().warning("redis refuses", error=what)

    def _note(self, *, lost: bool, error: str | None = None) -> None:
        """Log once that Redis is lost, and once that it is back."""
        if lost != self._lost:
            self._lost = lost
            log().warning("redis lost" if lost else "redis back", error=error)

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        await self._blocking.aclose()
        await self._pool.disconnect()
