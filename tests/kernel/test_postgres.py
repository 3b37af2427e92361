"""decision() commits on return and on Refused, and on nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from service.kernel.postgres import DoomedError, Postgres
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from tests import servers

NO = Refused(Reason.FORBIDDEN, "no")


@pytest.fixture
async def pg(database_url: str) -> AsyncIterator[Postgres]:
    opened = await Postgres.connect(database_url, "public")
    async with opened.reading() as tx:
        await tx.execute("CREATE TABLE scratch (n int UNIQUE)")
    yield opened
    async with opened.reading() as tx:
        await tx.execute("DROP TABLE scratch")
    await opened.close()


async def written(pg: Postgres) -> list[int]:
    async with pg.reading() as tx:
        return [row["n"] for row in await tx.fetch("SELECT n FROM scratch ORDER BY n")]


async def put(tx: Tx, n: int) -> None:
    await tx.execute("INSERT INTO scratch VALUES ($1)", n)


async def test_what_was_decided_is_kept(pg: Postgres) -> None:
    async with pg.decision() as tx:
        await put(tx, 1)
    assert await written(pg) == [1]


async def test_a_refusal_keeps_what_it_wrote(pg: Postgres) -> None:
    with pytest.raises(Refused) as caught:  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            raise NO
    assert caught.value is NO
    assert await written(pg) == [1]


@pytest.mark.parametrize("fault", [ValueError("a slip"), KeyboardInterrupt(), SystemExit()])
async def test_anything_else_leaves_nothing(pg: Postgres, fault: BaseException) -> None:
    with pytest.raises(type(fault)):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            raise fault
    assert await written(pg) == []


async def test_a_cancelled_decision_leaves_nothing_and_gives_its_connection_back(
    pg: Postgres,
) -> None:
    begun = asyncio.Event()

    async def decide() -> None:
        async with pg.decision() as tx:
            await put(tx, 1)
            begun.set()
            await asyncio.Event().wait()

    for _ in range(20):  # more often than the pool is deep
        begun.clear()
        task = asyncio.create_task(decide())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await written(pg) == []


async def test_a_statement_that_fails_rolls_everything_back(pg: Postgres) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            await put(tx, 1)
    assert await written(pg) == []


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_swallowed_failure_is_loud_since_nothing_was_written(
    pg: Postgres, *, refuses: bool
) -> None:
    """PostgreSQL rolls a doomed transaction back at COMMIT without an error."""
    with pytest.raises(DoomedError):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            with pytest.raises(asyncpg.UniqueViolationError):
                await put(tx, 1)
            if refuses:
                raise NO
    assert await written(pg) == []


async def test_a_connection_lost_before_the_commit_is_unavailable_and_the_next_one_works(
    pg: Postgres,
) -> None:
    with pytest.raises(Refused) as caught:  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            async with pg.reading() as other:
                await other.execute("SELECT pg_terminate_backend($1, 5000)", tx.get_server_pid())
    assert caught.value.reason is Reason.UNAVAILABLE
    assert caught.value.retry_after
    assert await written(pg) == []


@pytest.mark.parametrize("way", ["reading", "decision"])
async def test_a_lost_server_is_unavailable_and_is_found_again_without_a_restart(way: str) -> None:
    with servers.private_postgres(migrated=False) as server:
        pg = await Postgres.connect(server.url, "public")

        def lend() -> AbstractAsyncContextManager[Tx]:
            return pg.reading() if way == "reading" else pg.decision()

        async with lend() as tx:
            assert await tx.fetchval("SELECT 1") == 1
        server.kill()
        for _ in range(3):
            with pytest.raises(Refused) as caught:
                async with lend() as tx:
                    await tx.fetchval("SELECT 1")
            assert caught.value.reason is Reason.UNAVAILABLE
            assert "127.0.0.1" not in str(caught.value)
        server.start()
        async with lend() as tx:
            assert await tx.fetchval("SELECT 1") == 1
        await pg.close()


async def test_no_two_decisions_share_a_connection(pg: Postgres) -> None:
    async with pg.decision() as one, pg.decision() as other:
        assert one.get_server_pid() != other.get_server_pid()


async def test_a_snapshot_sees_nothing_of_what_comes_later_and_writes_nothing(
    pg: Postgres,
) -> None:
    async with pg.snapshot() as tx:
        assert await tx.fetchval("SELECT count(*) FROM scratch") == 0
        async with pg.decision() as other:
            await put(other, 1)
        assert await tx.fetchval("SELECT count(*) FROM scratch") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await put(tx, 2)
    assert await written(pg) == [1]
