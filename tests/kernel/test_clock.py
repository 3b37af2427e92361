"""One clock, disciplined by the database; the host's own may jump."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from service.kernel.clock import MAX_SKEW, Clock
from service.kernel.postgres import Postgres

HOUR = timedelta(hours=1)
CLOSE = timedelta(milliseconds=250)


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[Postgres]:
    opened = await Postgres.connect(database_url, "public")
    yield opened
    await opened.close()


async def test_it_tells_the_database_s_time(pg: Postgres) -> None:
    clock = Clock()
    clock._epoch += 3 * 3600  # as if the host were three hours ahead
    await clock.discipline(pg.now)
    assert abs(clock.now() - await pg.now()) < CLOSE
    assert abs(clock.skew()) < CLOSE


async def test_a_stepped_host_clock_changes_nothing_and_is_seen(
    pg: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    await clock.discipline(pg.now)
    before = clock.now()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert timedelta() <= clock.now() - before < CLOSE
    assert clock.skew() < -MAX_SKEW
    await clock.discipline(pg.now)
    assert timedelta() <= clock.now() - before < CLOSE + CLOSE


async def test_of_three_samples_the_one_with_the_shortest_way_counts() -> None:
    delays = iter([0.05, 0.0, 0.1])
    errors = iter([HOUR, timedelta(), HOUR])

    async def sample() -> datetime:
        told = datetime.now(UTC) + next(errors)
        await asyncio.sleep(next(delays))
        return told

    clock = Clock()
    await clock.discipline(sample)
    assert abs(clock.now() - datetime.now(UTC)) < CLOSE


async def test_a_sample_that_fails_leaves_the_clock_as_it_was() -> None:
    async def sample() -> datetime:
        raise ConnectionError

    clock = Clock()
    with pytest.raises(ConnectionError):
        await clock.discipline(sample)
    assert abs(clock.now() - datetime.now(UTC)) < CLOSE


def test_frozen_it_stands_still_and_is_moved_by_hand() -> None:
    clock = Clock()
    at = datetime(2030, 1, 1, tzinfo=UTC)
    clock.freeze(at)
    assert clock.now() == clock.now() == at
    clock.advance(HOUR)
    assert clock.now() == at + HOUR


def test_running_it_is_moved_on_and_keeps_running() -> None:
    clock = Clock()
    before = clock.now()
    clock.advance(HOUR)
    assert HOUR <= clock.now() - before < HOUR + CLOSE
    assert clock.now().tzinfo is UTC


async def test_sleeping_until_a_moment_that_is_past_takes_no_time() -> None:
    clock = Clock()
    began = clock.monotonic()
    await clock.sleep_until(began - 5)
    await clock.sleep_until(began + 0.02)
    assert 0.02 <= clock.monotonic() - began < 1
