"""The fault proxy: it forwards, it cuts, and it stops a transaction where it is told to."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from faults.proxy import Moment, Point, Proxy, Tap
from tests.servers import cloned_database, with_database

Link = tuple[Proxy, Tap, str]


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A proxy before the tests' PostgreSQL, its tap, and the address that leads through it."""
    with cloned_database() as url:
        head, _, tail = url.rpartition("@")
        port = int(tail.partition(":")[2].partition("/")[0])
        tap = Tap()
        async with Proxy(port, tap.eyes).listening() as proxy:
            through = f"{head}@127.0.0.1:{proxy.port}/x?sslmode=disable"
            name = tail.rpartition("/")[2]
            yield proxy, tap, with_database(through, name)


async def rows(url: str) -> int:
    connection = await asyncpg.connect(url)
    found: int = await connection.fetchval("SELECT count(*) FROM auth_root")
    await connection.close()
    return found


async def write(url: str, *, alone: bool) -> None:
    connection = await asyncpg.connect(url)
    statement = "INSERT INTO auth_root (sealed, created_at) VALUES ($1, now())"
    if alone:
        await connection.execute(statement, b"x")
    else:
        await connection.execute("BEGIN")
        await connection.execute("SELECT 1 FROM auth_sealing FOR UPDATE")
        await connection.execute(statement, b"x")
        await connection.execute("COMMIT")
    await connection.close()


@pytest.mark.parametrize("what", ["statement", "transaction"])
@pytest.mark.parametrize(
    ("point", "there"), [("begin", 0), ("inside", 0), ("commit", 0), ("done", 1)]
)
async def test_what_was_held_at_a_point_had_got_exactly_so_far(
    link: Link, point: Point, there: int, what: str
) -> None:
    alone = what == "statement"
    if alone and point == "inside":
        pytest.skip("a statement that stands alone has no inside")
    _, tap, url = link

    def wanted(moment: Moment) -> bool:
        mine = "auth_root" in moment.statement or moment.did("auth_root")
        return moment.point == point and (mine or (point == "begin" and not alone))

    tap.arm(wanted)
    task = asyncio.create_task(write(url, alone=alone))
    assert await tap.reached(1, 10) == 1
    assert not task.done()
    tap.held[0].pair.reset()
    tap.disarm()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await task
    assert await rows(url) == there


async def test_disarmed_it_lets_go_and_everything_happens(link: Link) -> None:
    _, tap, url = link
    tap.arm(lambda moment: moment.point == "commit" and moment.did("auth_root"))
    task = asyncio.create_task(write(url, alone=False))
    assert await tap.reached(1, 10) == 1
    tap.disarm()
    await task
    assert await rows(url) == 1


async def test_it_cuts_refuses_and_heals(link: Link) -> None:
    proxy, _, url = link
    connection = await asyncpg.connect(url)
    assert proxy.reset_all() == 1
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    proxy.refusing = True
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await rows(url)
    proxy.heal()
    assert await rows(url) == 0
