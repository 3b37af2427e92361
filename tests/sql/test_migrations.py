"""Migrations: forward only, checksummed, one at a time, all of one or nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from service.kernel import migrate
from service.kernel.migrate import MigrationError
from service.kernel.postgres import connect_once

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Folder: TypeAlias = Callable[..., Path]


@pytest.fixture
async def schema(database_url: str) -> AsyncIterator[str]:
    """A schema that is not there yet."""
    name = f"m_{uuid4().hex[:12]}"
    yield name
    async with connected(database_url, "public") as connection:
        await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
async def connection(database_url: str, schema: str) -> AsyncIterator[Connection]:
    async with connected(database_url, schema) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder of migrations: `folder("CREATE TABLE a (n int)", ...)`."""

    def make(*texts: str) -> Path:
        for number, text in enumerate(texts, 1):
            (tmp_path / f"{number:04}_step.sql").write_text(text)
        return tmp_path

    return make


@asynccontextmanager
async def connected(url: str, schema: str) -> AsyncIterator[Connection]:
    opened = await connect_once(url, schema)
    try:
        yield opened
    finally:
        await opened.close()


async def test_applying_twice_applies_nothing_the_second_time(
    connection: Connection, schema: str
) -> None:
    first = await migrate.migrate(connection, schema)
    assert [m.version for m in first] == [m.version for m in migrate.known()]
    assert await migrate.migrate(connection, schema) == []
    assert await migrate.pending(connection) == []


async def test_everything_is_made_in_the_schema_that_is_named(
    connection: Connection, schema: str
) -> None:
    elsewhere = (
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'auth\\_%'"
        " AND relnamespace IS DISTINCT FROM to_regnamespace($1)"
    )
    before = await connection.fetchval(elsewhere, schema)
    await migrate.migrate(connection, schema)
    assert await connection.fetchval(elsewhere, schema) == before
    assert await connection.fetchval("SELECT auth_eventos_partitions('2030-01-01', 1)") == 1
    assert await connection.fetchval(f"SELECT to_regclass('{schema}.auth_eventos_2030_01')")


async def test_a_file_changed_after_it_was_applied_is_refused(
    connection: Connection, schema: str, folder: Folder
) -> None:
    await migrate.migrate(connection, schema, folder("CREATE TABLE a (n int)"))
    changed = folder("CREATE TABLE a (n bigint)")
    with pytest.raises(MigrationError, match="0001 was changed"):
        await migrate.pending(connection, changed)
    with pytest.raises(MigrationError, match="0001 was changed"):
        await migrate.migrate(connection, schema, changed)


async def test_a_database_newer_than_the_release_is_refused(
    connection: Connection, schema: str, folder: Folder
) -> None:
    path = folder("CREATE TABLE a (n int)", "CREATE TABLE b (n int)")
    await migrate.migrate(connection, schema, path)
    (path / "0002_step.sql").unlink()
    with pytest.raises(MigrationError, match="at migration 0002, newer"):
        await migrate.pending(connection, path)


async def test_a_migration_that_fails_leaves_nothing_behind(
    connection: Connection, schema: str, folder: Folder
) -> None:
    path = folder("CREATE TABLE a (n int)", "CREATE TABLE b (n int); SELECT 1 / 0")
    with pytest.raises(MigrationError, match="0002_step: DivisionByZeroError"):
        await migrate.migrate(connection, schema, path)
    assert await connection.fetchval("SELECT to_regclass('b')") is None
    assert [m.version for m in await migrate.pending(connection, path)] == [2]
    path = folder("CREATE TABLE a (n int)", "CREATE TABLE b (n int)")
    assert [m.version for m in await migrate.migrate(connection, schema, path)] == [2]


async def test_of_two_migrators_at_once_one_applies_and_the_other_finds_nothing_to_do(
    database_url: str, schema: str
) -> None:
    async with (
        connected(database_url, schema) as one,
        connected(database_url, schema) as other,
    ):
        both = await asyncio.gather(migrate.migrate(one, schema), migrate.migrate(other, schema))
    assert sorted(len(applied) for applied in both) == [0, len(migrate.known())]


async def test_waiting_for_the_lock_holds_no_snapshot(
    database_url: str, schema: str, connection: Connection
) -> None:
    """The lock is polled: CREATE INDEX CONCURRENTLY of the holder would wait for a snapshot."""
    key = await _held_lock(connection, schema)
    async with connected(database_url, schema) as other:
        backend = other.get_server_pid()
        waiting = asyncio.create_task(migrate.migrate(other, schema))
        seen = 0
        while seen < 3:
            row = await connection.fetchrow(
                "SELECT state, backend_xmin, query FROM pg_stat_activity WHERE pid = $1", backend
            )
            assert row is not None
            if row["state"] == "idle" and "pg_try_advisory_lock" in row["query"]:
                assert row["backend_xmin"] is None
                seen += 1
            await asyncio.sleep(0)
        assert not waiting.done()
        await connection.execute("SELECT pg_advisory_unlock($1)", key)
        assert len(await waiting) == len(migrate.known())


async def test_the_lock_is_given_back_also_after_a_failure(
    database_url: str, connection: Connection, schema: str, folder: Folder
) -> None:
    with pytest.raises(MigrationError, match="0001_step: DivisionByZeroError"):
        await migrate.migrate(connection, schema, folder("SELECT 1 / 0"))
    async with connected(database_url, schema) as other:
        assert len(await migrate.migrate(other, schema, folder("SELECT 1"))) == 1


def test_a_gap_or_an_odd_name_is_refused(folder: Folder) -> None:
    path = folder("SELECT 1", "SELECT 2")
    (path / "0002_step.sql").rename(path / "0003_step.sql")
    with pytest.raises(MigrationError, match="without a gap"):
        migrate.known(path)
    (path / "0003_step.sql").rename(path / "2-step.sql")
    with pytest.raises(MigrationError, match="NNNN_idea"):
        migrate.known(path)


async def test_a_schema_name_is_never_pasted_into_a_statement_unchecked(
    connection: Connection,
) -> None:
    with pytest.raises(MigrationError, match="not a schema name"):
        await migrate.migrate(connection, 'x"; DROP SCHEMA public; --')


async def _held_lock(connection: Connection, schema: str) -> int:
    """Take the very lock a migrator takes, and tell its key."""
    key = migrate.lock_key(schema)
    await connection.execute("SELECT pg_advisory_lock($1)", key)
    return key
