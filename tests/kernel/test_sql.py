"""The loader refuses what it does not understand, and a call that does not fit."""

import pytest
from msgspec import Struct

from service.kernel import sql
from service.kernel.postgres import Postgres
from service.kernel.sql import Queries, Rows, Statement

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
    async with pg.reading() as tx:
        assert await rows.all(tx, n=2) == [One(1), One(2)]
        assert await rows.one(tx, n=1) == One(1)
        assert await rows.maybe(tx, n=0) is None
        with pytest.raises(LookupError):
            await rows.one(tx, n=0)
    await pg.close()
