"""Statements: each is bound, fits the schema and its struct, and writes only what is its own."""

import importlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from service.kernel.postgres import connect_once
from service.kernel.sql import SQL, Queries, Rows

FILES = sorted((SQL / "queries").glob("*.sql"))
SLICES: dict[str, Queries] = {
    path.stem: importlib.import_module(f"service.domain.{path.stem}.store").queries
    for path in FILES
}
# Some slices bind in further rooms, as families/rotation.py does.
for path in FILES:
    importlib.import_module(f"service.domain.{path.stem}")

EVERY = [
    pytest.param(queries, name, id=f"{slice_name}.{name}")
    for slice_name, queries in SLICES.items()
    for name in queries.statements
]
WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE(?!\s+SET)|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|MERGE\s+INTO)\s+(?:ONLY\s+)?(\w+)",
    re.IGNORECASE,
)
LIVE_ONLY = {
    # Asked for live sessions alone, and an index on all would grow with every sign-in; nothing
    # deletes an organization.
    "auth_sessions_tenant_id_fkey",
}
LOCKING = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b(?:\s+OF\s+[\w, ]+)?", re.IGNORECASE)


@pytest.fixture
async def connection(
    database_url: str,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await connect_once(database_url, "public")
    yield opened
    await opened.close()


def declared(path: Path) -> set[str]:
    """Return the tables a file's first lines say it writes."""
    head = path.read_text().partition("-- name:")[0]
    match = re.search(r"Writes ([\w, \n-]+?)[;.]", head)
    assert match, f"{path.name}: the header does not say `Writes ...`"
    return {word.strip(" -\n") for word in match[1].split(",")}


def written(path: Path) -> set[str]:
    """Return the tables a file's statements write."""
    statements = LOCKING.sub("", re.sub(r"--.*", "", path.read_text()))
    return {table.lower() for table in WRITES.findall(statements)}


@pytest.mark.parametrize(("queries", "name"), EVERY)
def test_every_declared_statement_is_bound(queries: Queries, name: str) -> None:
    assert name in queries.bound


@pytest.mark.parametrize(("queries", "name"), EVERY)
async def test_it_prepares_and_its_columns_are_its_struct(
    connection: "asyncpg.Connection[asyncpg.Record]", queries: Queries, name: str
) -> None:
    bound = queries.bound[name]
    prepared = await connection.prepare(bound.statement.text)
    assert len(prepared.get_parameters()) == len(bound.statement.parameters)
    columns = [attribute.name for attribute in prepared.get_attributes()]
    row = bound.row if isinstance(bound, Rows) else None
    assert columns == ([field.name for field in msgspec.structs.fields(row)] if row else [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_writes_the_tables_its_header_says(path: Path) -> None:
    assert written(path) == declared(path)


async def test_every_table_has_exactly_one_writer(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'schema_migrations'"
    )
    writers: dict[str, list[str]] = {row["relname"]: [] for row in rows}
    for path in FILES:
        for table in written(path):
            writers[table].append(path.stem)
    assert {table: names for table, names in writers.items() if len(names) != 1} == {}


async def test_every_foreign_key_has_an_index(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """Else deleting what it points to reads the whole table."""
    missing = await connection.fetch(
        """
        SELECT c.conrelid::regclass::text AS owner, c.conname
          FROM pg_constraint c
         WHERE c.contype = 'f'
           AND NOT EXISTS (
                SELECT FROM pg_index i
                 WHERE i.indrelid = c.conrelid
                   AND i.indpred IS NULL
                   AND (i.indkey::smallint[])[0 : cardinality(c.conkey) - 1] @> c.conkey)
        """
    )
    assert {row["conname"] for row in missing} == LIVE_ONLY
