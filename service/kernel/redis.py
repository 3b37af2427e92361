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
from redis.exceptions import RedisError

from service.kernel.clock import Clock
from service.kernel.log import log

T = TypeVar("T")

_LOST = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a server that went away raises.  RuntimeError is uvloop's, of a connection that was reset
while a command was on its way to it."""

_TIMEOUT = 0.25
_PAUSE = 1.0


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
        except ValueError:
            raise ValueError("not a Redis URL") from None
        self.client = redis.asyncio.Redis(connection_pool=self._pool)
        self._clock = clock
        self._closed_until = 0.0
        self._lost = False
        # One hash tag: every key of a script lives in one slot of a cluster.
        self.prefix = f"tesserra:{{{schema}}}:"

    async def ask(self, question: Callable[[redis.asyncio.Redis], Awaitable[T]]) -> T:
        """Ask; RedisLostError when there is no answer, at once while the breaker is open."""
        if self._clock.monotonic() < self._closed_until:
            raise RedisLostError("breaker is open")
        try:
            answer = await question(self.client)
        except _LOST as exc:
            self._closed_until = self._clock.monotonic() + _PAUSE
            self._note(lost=True, error=type(exc).__name__)
            # A server that ended took the idle connections along; each would fail once more later.
            with contextlib.suppress(*_LOST):
                await self._pool.disconnect(inuse_connections=False)
            raise RedisLostError(type(exc).__name__) from exc
        self._note(lost=False)
        return answer

    async def await_news(self, stream: str, last: bytes, seconds: float) -> bytes:
        """Wait for an entry of a stream newer than `last`; return the newest id, or `last`.

        RedisLostError when the connection breaks.
        """
        try:
            streams: Any = await self._blocking.xread({stream: last}, block=int(seconds * 1000))
        except _LOST as exc:
            raise RedisLostError(type(exc).__name__) from exc
        newest: bytes = streams[0][1][-1][0] if streams else last
        return newest

    async def ping(self) -> bool:
        """Tell whether it answers."""
        try:
            await self.ask(lambda client: client.exists(self.prefix))
        except RedisLostError:
            return False
        return True

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
