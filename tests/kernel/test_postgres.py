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
    async with opened.autocommit() as tx:
        await tx.execute("CREATE TABLE scratch (n int UNIQUE)")
    yield opened
    async with opened.autocommit() as tx:
        await tx.execute("DROP TABLE scratch")
    await opened.close()


async def written(pg: Postgres) -> list[int]:
    async with pg.reading() as tx:
        return [row["n"] for row in await tx.fetch("SELECT n FROM scratch ORDER BY n")]


async def pid(tx: Tx) -> int:
    found: int = await tx.fetchval("SELECT pg_backend_pid()")
    return found


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
            async with pg.autocommit() as other:
                await other.execute("SELECT pg_terminate_backend($1, 5000)", await pid(tx))
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
        assert await pid(one) != await pid(other)


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


class Told:
    """A kind of message, and who publishes it: notes what is in the table by then."""

    def __init__(self, pg: Postgres) -> None:
        self.pg = pg
        self.heard: list[tuple[list[object], list[int]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Event()
        pg.publish_by(str, self.publish)

    async def publish(self, messages: list[str]) -> None:
        self.came.set()
        await self.gate.wait()
        self.heard.append(([*messages], await written(self.pg)))


async def test_what_a_decision_leaves_is_published_after_its_commit_and_before_it_ends(
    pg: Postgres,
) -> None:
    told = Told(pg)
    async with pg.decision() as tx:
        tx.after_commit(["a"])
        await put(tx, 1)
        tx.after_commit(["b", "c"])
        assert told.heard == []
    assert told.heard == [(["a", "b", "c"], [1])]
    async with pg.decision() as tx:
        await put(tx, 2)
    assert len(told.heard) == 1  # nothing was left


async def test_what_a_refusal_leaves_is_published_too(pg: Postgres) -> None:
    told = Told(pg)
    with pytest.raises(Refused) as caught:  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            await put(tx, 1)
            tx.after_commit(["a"])
            raise NO
    assert caught.value is NO
    assert told.heard == [(["a"], [1])]


async def test_what_did_not_commit_publishes_nothing(pg: Postgres) -> None:
    told = Told(pg)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            tx.after_commit(["rolled back"])
            raise ZeroDivisionError
    with pytest.raises(DoomedError):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            tx.after_commit(["doomed"])
            with pytest.raises(asyncpg.UndefinedTableError):
                await tx.execute("SELECT FROM nowhere")
    with pytest.raises(Refused):  # noqa: PT012 - the block is the transaction
        async with pg.decision() as tx:
            tx.after_commit(["lost"])
            async with pg.autocommit() as other:
                await other.execute("SELECT pg_terminate_backend($1, 5000)", await pid(tx))
    assert told.heard == []


async def test_what_nobody_publishes_cannot_be_left(pg: Postgres) -> None:
    with pytest.raises(LookupError, match="nobody publishes str"):  # noqa: PT012 - as above
        async with pg.decision() as tx:
            await put(tx, 1)
            tx.after_commit(["a"])
    assert await written(pg) == []


async def test_what_cannot_be_published_is_not_acknowledged_and_keeps_nothing_else_back(
    pg: Postgres,
) -> None:
    told, unpublished = Told(pg), Refused(Reason.UNAVAILABLE, "try again shortly")

    async def fail(_: list[int]) -> None:
        raise unpublished

    pg.publish_by(int, fail)
    for refusal in (None, NO):
        told.heard.clear()
        with pytest.raises(Refused) as caught:  # noqa: PT012 - the block is the transaction
            async with pg.decision() as tx:
                tx.after_commit([7, "a"])
                if refusal:
                    raise refusal
        assert caught.value is unpublished
        assert [messages for messages, _ in told.heard] == [["a"]]


@pytest.mark.parametrize("during", ["commit", "publishing"])
async def test_who_goes_away_keeps_nothing_from_being_published(pg: Postgres, during: str) -> None:
    told = Told(pg)
    async with pg.autocommit() as tx:  # a commit that waits: for the check of a deferred constraint
        await tx.execute("CREATE TABLE slow (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    try:
        async with pg.decision() as other:
            if during == "commit":
                await other.execute("INSERT INTO slow VALUES (1)")
            else:
                told.gate.clear()

            async def decide() -> None:
                async with pg.decision() as tx:
                    await tx.execute("INSERT INTO slow VALUES (1)")
                    await put(tx, 1)
                    tx.after_commit(["a"])

            task = asyncio.create_task(decide())
            if during == "commit":
                await until_one_waits(pg)
            else:
                await told.came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert told.heard == []
            told.gate.set()
            await other.execute("DELETE FROM slow")
        async with asyncio.timeout(5):
            while not told.heard:
                await asyncio.sleep(0.01)
        assert told.heard == [(["a"], [1])]
    finally:
        async with pg.autocommit() as tx:
            await tx.execute("DROP TABLE slow")
    assert pg.gauges()["open"] == pg.gauges()["idle"]


async def until_one_waits(pg: Postgres) -> None:
    asked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    async with asyncio.timeout(5), pg.autocommit() as tx:
        while not await tx.fetchval(asked):
            await asyncio.sleep(0.01)


async def test_of_two_decisions_one_in_the_other_each_publishes_its_own(pg: Postgres) -> None:
    told = Told(pg)
    async with pg.decision() as outer:
        outer.after_commit(["outer"])
        async with pg.decision() as inner:
            await put(inner, 1)
            inner.after_commit(["inner"])
        assert told.heard == [(["inner"], [1])]
        await put(outer, 2)
    assert told.heard[1:] == [(["outer"], [1, 2])]


async def test_no_connection_is_held_while_something_is_published(database_url: str) -> None:
    pg = await Postgres.connect(database_url, "public", most=1)

    async def ask(_: list[str]) -> None:
        async with pg.decision() as tx:
            assert await tx.fetchval("SELECT 1") == 1

    pg.publish_by(str, ask)
    async with asyncio.timeout(2), pg.decision() as tx:
        tx.after_commit(["a"])
    await pg.close()
