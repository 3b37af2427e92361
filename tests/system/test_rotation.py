"""Rotation and sign-out over two real workers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.processes import Running, service
from tests.system.visitors import (
    UNLIMITED,
    Visitor,
    connection,
    cookie,
    inside,
    log_lines,
    one_connection_each,
    visitors,
    worker_of,
)

PROXY = {"AUTH_TRUSTED_PROXIES": "127.0.0.1/32"}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """Two workers; afterwards their log is looked at."""
    async with service(workers=2, policy=UNLIMITED, env=PROXY) as running:
        yield running
        assert log_lines(running)


@pytest.fixture(scope="module")
async def rt(running: Running) -> AsyncIterator[Runtime]:
    async with inside(running) as rt:
        yield rt


async def test_thirty_two_parallel_refreshes_of_one_token_yield_one_successor(
    running: Running,
) -> None:
    async with visitors(running, 1) as (device,), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connection(running.url)) for _ in range(32)]
        assert len({await worker_of(client, running) for client in clients}) == 2
        for _ in range(5):
            twins = [device.on(client) for client in clients]
            answers = await asyncio.gather(*(twin.refresh() for twin in twins))
            assert [answer.status_code for answer in answers] == [httpx2.codes.OK] * 32
            assert len({cookie(answer) for answer in answers}) == 1
            device.refresh_token = cookie(answers[0])


@pytest.mark.parametrize("cut_after", [0.0, 0.002, 0.2])
async def test_a_lost_answer_retried_within_the_grace_continues(
    running: Running, cut_after: float
) -> None:
    """The connection is cut while the answer is made, or once it is there, unread."""
    async with visitors(running, 1) as (device,):
        where = urlsplit(running.url)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(
            (
                f"POST /auth/refresh HTTP/1.1\r\nHost: {where.netloc}\r\nUser-Agent: tests\r\n"
                f"X-Forwarded-For: {device.address}\r\nContent-Type: application/json\r\n"
                f"Cookie: __Host-refresh={device.refresh_token}\r\nContent-Length: 2\r\n\r\n{{}}"
            ).encode()
        )
        await writer.drain()
        await asyncio.sleep(cut_after)
        writer.transport.abort()
        for _ in range(3):
            answer = await device.refresh()
            assert answer.status_code == httpx2.codes.OK, answer.text


async def test_an_old_token_burns_its_family_and_that_family_only(
    running: Running, rt: Runtime
) -> None:
    async with visitors(running, 3) as devices, one_connection_each(running) as connections:
        robbed, *others = devices
        stolen = robbed.refresh_token
        for _ in range(2):
            assert (await robbed.refresh()).status_code == httpx2.codes.OK
        await given.no_grace(rt)
        thief = robbed.on(connections[0])
        assert (await thief.refresh(stolen)).status_code == httpx2.codes.UNAUTHORIZED
        assert (await robbed.refresh()).status_code == httpx2.codes.UNAUTHORIZED
        for client in connections:
            await _refused_within_a_second(robbed.on(client))
        for other in others:
            assert (await other.me()).status_code == httpx2.codes.OK
            assert (await other.refresh()).status_code == httpx2.codes.OK
        assert await given.live_families(rt, robbed.person.user_id) == len(others)


async def test_a_refresh_that_races_a_sign_out_leaves_nothing_alive(
    running: Running, rt: Runtime
) -> None:
    async with visitors(running, 24) as devices, one_connection_each(running) as (one, other):
        for n, device in enumerate(devices):
            renewing, leaving = device.on(one), device.on(other)

            async def leave(leaving: Visitor = leaving, pause: float = n % 8 / 1000) -> int:
                await asyncio.sleep(pause)
                return (await leaving.sign_out()).status_code

            renewed, left = await asyncio.gather(renewing.refresh(), leave())
            assert left == httpx2.codes.NO_CONTENT
            assert renewed.status_code in (httpx2.codes.OK, httpx2.codes.UNAUTHORIZED)
            again = await device.on(one).refresh(renewing.refresh_token)
            assert again.status_code == httpx2.codes.UNAUTHORIZED
        assert await given.live_families(rt, devices[0].person.user_id) == 0
        for device in devices:
            for client in (one, other):
                await _refused_within_a_second(device.on(client))


async def test_a_sign_out_on_one_worker_is_known_to_the_other_within_a_second(
    running: Running,
) -> None:
    took = []
    async with visitors(running, 10) as devices, one_connection_each(running) as (one, other):
        for device in devices:
            here, there = device.on(one), device.on(other)
            assert (await there.me()).status_code == httpx2.codes.OK
            assert (await here.sign_out()).status_code == httpx2.codes.NO_CONTENT
            assert (await here.me()).status_code == httpx2.codes.UNAUTHORIZED
            took.append(await _refused_within_a_second(there))
    print(f"revoked elsewhere after {sorted(took)[5]:.4f} s (median), {max(took):.4f} s (worst)")  # noqa: T201


async def _refused_within_a_second(device: Visitor) -> float:
    """Return after how many seconds its access token was refused."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        status = (await device.me()).status_code
        if status == httpx2.codes.UNAUTHORIZED:
            return time.monotonic() - began
        assert asked - began < 1.0, "a revoked token is still good after a second"
