"""The loader refuses what it does not understand, and a call that does not fit."""

import asyncpg
import pytest
from msgspec import Struct

from service.kernel import sql
from service.kernel.postgres import Postgres
from service.kernel.sql import Command, Queries, Rows, Statement, Together

TWO = """\
-- Things.  Writes things.

-- name: find(thing_id)
-- Why it is there.
SELECT n
  FROM things
 WHERE thing_id = $1;

-- name: count()
SELECT count(*) AS n FROM things;
"""


class One(Struct, frozen=True):
    n: int


def test_a_file_is_statements_by_name_with_their_parameters() -> None:
    found = sql._parse(TWO)
    assert list(found) == ["find", "count"]
    assert found["find"].parameters == ("thing_id",)
    assert found["find"].text.endswith("WHERE thing_id = $1")
    assert found["count"].parameters == ()


@pytest.mark.parametrize(
    "header",
    [
        "-- name: find (thing_id)",
        "-- name: find",
        "-- name find(thing_id)",
        "--name: find(thing_id)",
        "-- name: find(thing_id) and more",
        "-- name: find(thing-id)",
    ],
)
def test_a_misspelt_header_is_refused_and_not_read_as_a_comment(header: str) -> None:
    with pytest.raises(ValueError, match="-- name:"):
        sql._parse(f"-- name: first()\nSELECT 1;\n\n{header}\nSELECT 2;\n")


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="find is declared twice"):
        sql._parse(TWO + TWO)


def test_binding_a_name_that_is_not_declared_stops_the_start() -> None:
    with pytest.raises(KeyError, match="nothing_like_it"):
        Queries("audit").command("nothing_like_it")


@pytest.mark.parametrize("given", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}])
def test_wrong_keywords_are_a_type_error_that_names_the_signature(given: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"consume\(a, b\) was given"):
        Statement("consume", ("a", "b"), "SELECT $1, $2").arguments(given)


def test_arguments_stand_in_the_order_of_the_header() -> None:
    assert Statement("s", ("b", "a"), "").arguments({"a": 1, "b": 2}) == [2, 1]


async def test_rows_become_structs_and_a_missing_one_is_none(database_url: str) -> None:
    pg = await Postgres.connect(database_url, "public")
    rows = Rows(Statement("s", ("n",), "SELECT m AS n FROM generate_series(1, $1::int) m"), One)
    async with pg.autocommit() as tx:
        assert await rows.all(tx, n=2) == [One(1), One(2)]
        assert await rows.one(tx, n=1) == One(1)
        assert await rows.maybe(tx, n=0) is None
        with pytest.raises(LookupError):
            await rows.one(tx, n=0)
    await pg.close()


async def test_writes_together_are_one_statement_and_all_or_nothing(database_url: str) -> None:
    pg = await Postgres.connect(database_url, "public")
    parent = Command(Statement("p", ("n", "b"), "INSERT INTO parent VALUES ($1, $2)"))
    child = Command(Statement("c", ("n",), "INSERT INTO child VALUES ($1, $1)"))
    async with pg.autocommit() as tx:
        await tx.execute("CREATE TABLE parent (n int PRIMARY KEY, b text)")
        await tx.execute("CREATE TABLE child (n int PRIMARY KEY, of int REFERENCES parent)")
        whole, torn = Together(), Together()
        await child.run(whole, n=1)  # before its parent: that is checked at the end
        await parent.run(whole, n=1, b="$1")
        await whole.run(tx)
        await child.run(torn, n=9)
        await parent.run(torn, n=2, b="")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await torn.run(tx)
        assert [tuple(row) for row in await tx.fetch("SELECT * FROM parent")] == [(1, "$1")]
        assert [tuple(row) for row in await tx.fetch("SELECT * FROM child")] == [(1, 1)]
        await tx.execute("DROP TABLE child, parent")
    await pg.close()
