"""Redis may be lost: that costs milliseconds, and is asked again a second later."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from service.embedded.servers import free_port
from service.kernel.clock import Clock
from service.kernel.redis import Redis, RedisLostError
from tests import servers


class Watch(Clock):
    """A clock whose monotonic reading is set by hand."""

    reading = 1000.0

    def monotonic(self) -> float:
        return self.reading


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def connect(watch: Watch) -> AsyncIterator[Callable[[str], Redis]]:
    opened: list[Redis] = []

    def make(url: str) -> Redis:
        opened.append(Redis(url, "public", watch))
        return opened[-1]

    yield make
    for redis in opened:
        await redis.close()


def ping(client: Any) -> Any:
    return client.ping()


async def timed(redis: Redis) -> float:
    """Ask a server that does not answer; return the seconds until it was given up."""
    began = time.perf_counter()
    with pytest.raises(RedisLostError):
        await redis.ask(ping)
    return time.perf_counter() - began


async def test_a_server_that_is_gone_is_given_up_in_milliseconds(
    connect: Callable[[str], Redis],
) -> None:
    assert await timed(connect(f"redis://127.0.0.1:{free_port()}/0")) < 0.2


async def test_a_server_that_never_answers_is_given_up_in_a_quarter_of_a_second(
    connect: Callable[[str], Redis],
) -> None:
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _r, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    assert 0.2 < await timed(connect(f"redis://127.0.0.1:{port}/0")) < 1
    for writer in held:
        writer.close()
    silent.close()


async def test_after_a_failure_nobody_asks_for_a_second(
    connect: Callable[[str], Redis], redis_url: str, watch: Watch
) -> None:
    redis = connect(redis_url)

    async def lost(_client: Any) -> None:
        raise ConnectionError

    with pytest.raises(RedisLostError):
        await redis.ask(lost)
    asked: list[Any] = []

    async def ask(client: Any) -> None:
        asked.append(client)

    watch.reading += 0.99
    with pytest.raises(RedisLostError, match="breaker"):
        await redis.ask(ask)
    assert not asked
    assert not await redis.ping()
    watch.reading += 0.02
    assert await redis.ask(ping)
    assert await redis.ping()


async def test_a_server_that_comes_back_is_used_again(
    connect: Callable[[str], Redis], watch: Watch
) -> None:
    with servers.private_redis() as server:
        redis = connect(server.url)
        assert await redis.ask(ping)
        server.kill()
        await timed(redis)
        server.start()
        watch.reading += 2
        assert await redis.ask(ping)


def test_a_connection_reset_under_a_command_is_a_lost_server_also_to_uvloop() -> None:
    """uvloop, which workers run on, raises a RuntimeError where asyncio raises an OSError."""

    async def work() -> None:
        redis = Redis(url, "public", Watch())
        assert await redis.ping()
        (connection,) = redis._pool._available_connections
        assert connection._writer is not None
        connection._writer.transport.abort()
        with pytest.raises(RedisLostError):
            await redis.ask(ping)
        await redis.close()

    with servers.redis_database() as url:
        uvloop.run(work())


async def test_every_key_of_a_deployment_is_in_one_slot_of_a_cluster(
    connect: Callable[[str], Redis], redis_url: str
) -> None:
    assert connect(redis_url).prefix == "tesserra:{public}:"
