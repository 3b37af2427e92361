"""auth_eventos: a month is a partition, made ahead; an event is never lost for want of one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.domain import audit
from service.domain.audit import events
from service.kernel.call import Call
from service.runtime import Runtime

FIRST = datetime(2031, 11, 30, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def _without_leftovers(rt: Runtime) -> None:
    async with rt.pg.autocommit() as tx:
        rows = await tx.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
            " WHERE inhparent = 'auth_eventos'::regclass"
        )
        for row in rows:
            if row["name"].startswith("auth_eventos_2031") or "2032" in row["name"]:
                await tx.execute(f"DROP TABLE {row['name']}")


async def where_is(rt: Runtime, at: datetime) -> str | None:
    async with rt.pg.reading() as tx:
        found: str | None = await tx.fetchval(
            "SELECT tableoid::regclass::text FROM auth_eventos WHERE occurred_at = $1", at
        )
    return found


async def test_an_event_goes_to_the_partition_of_its_month_in_utc(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    async with rt.pg.decision() as tx:
        assert await audit.make_partitions(tx, FIRST, 3) == 3
        for at in (FIRST, FIRST + timedelta(minutes=30)):
            await audit.record(tx, call(at=at), events.SignInFailed(why="unknown"))
    assert await where_is(rt, FIRST) == "auth_eventos_2031_11"
    assert await where_is(rt, FIRST + timedelta(minutes=30)) == "auth_eventos_2031_12"


async def test_making_them_again_makes_none(rt: Runtime) -> None:
    async with rt.pg.autocommit() as tx:
        assert await audit.make_partitions(tx, FIRST, 3) == 3
        assert await audit.make_partitions(tx, FIRST, 3) == 0
        assert await audit.make_partitions(tx, FIRST, 4) == 1


async def test_workers_that_make_them_at_once_do_not_collide(rt: Runtime) -> None:
    async def make() -> int:
        async with rt.pg.autocommit() as tx:
            return await audit.make_partitions(tx, FIRST, 3)

    assert sorted(await asyncio.gather(*(make() for _ in range(6)))) == [0, 0, 0, 0, 0, 3]


async def test_an_event_of_a_month_without_partition_is_kept_and_stays_where_it_is(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    async with rt.pg.decision() as tx:
        await audit.record(tx, call(at=FIRST), events.SignInFailed(why="unknown"))
    assert await where_is(rt, FIRST) == "auth_eventos_default"
    async with rt.pg.autocommit() as tx:
        assert await audit.make_partitions(tx, FIRST, 2) == 1  # only the month after
    assert await where_is(rt, FIRST) == "auth_eventos_default"
