"""SQL statements: declared like functions in sql/queries/<slice>.sql, and bound at import.

A statement begins with `-- name: consume(token_id, used_at)`, then a comment that says why, then
plain SQL in which $1, $2 ... are the parameters in that order.  An unknown statement name fails at
import.  A wrong keyword argument is a TypeError that names the signature.  A test prepares every
statement on the migrated schema and compares its columns with the struct of its rows.
"""

import functools
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    from service.kernel.postgres import Decision

Row = TypeVar("Row")
Tx: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record] | Decision"

SQL = Path(__file__).resolve().parents[2] / "sql"
_HEADER = re.compile(r"^-- name: (\w+)\(([\w, ]*)\)$", re.MULTILINE)
_MARK = re.compile(r"^\s*--\s*name\b", re.MULTILINE)
_PARAMETER = re.compile(r"\$(\d+)")


class Statement(Struct, frozen=True):
    """One declared statement and its parameters, in order."""

    name: str
    parameters: tuple[str, ...]
    text: str

    def arguments(self, given: dict[str, Any]) -> list[Any]:
        """Return the arguments in the order $1, $2 ...  TypeError when they do not fit."""
        if given.keys() != set(self.parameters):
            signature = f"{self.name}({', '.join(self.parameters)})"
            raise TypeError(f"{signature} was given {sorted(given)}")
        return [given[name] for name in self.parameters]


class JsonLine(Struct, frozen=True):
    """A row that is a line of JSON."""

    line: str


class Batch(Struct, frozen=True):
    """The result of one batch of deletions: how many rows, and the time of the newest one (`upto`).

    The next batch begins at `upto`.  If it began at the oldest row again, it would scan rows that
    are deleted but not yet vacuumed.
    """

    rows: int
    upto: datetime | None


class Rows(Struct, Generic[Row], frozen=True):
    """A statement that returns rows, each converted to one struct."""

    statement: Statement
    row: type[Row]

    async def maybe(self, tx: Tx, **given: Any) -> Row | None:
        """Return the one row, or None."""
        record = await tx.fetchrow(self.statement.text, *self.statement.arguments(given))
        return None if record is None else msgspec.convert(dict(record), self.row)

    async def one(self, tx: Tx, **given: Any) -> Row:
        """Return the one row; LookupError when there is none."""
        found = await self.maybe(tx, **given)
        if found is None:
            raise LookupError(self.statement.name)
        return found

    async def all(self, tx: Tx, **given: Any) -> list[Row]:
        """Return every row."""
        records = await tx.fetch(self.statement.text, *self.statement.arguments(given))
        return [msgspec.convert(dict(record), self.row) for record in records]


class Together:
    """Several writes, sent as one statement in one round trip.

    PostgreSQL runs them on one snapshot and in no fixed order.  So no write may read or change a
    row that another one writes.  Foreign keys between them are checked at the end, and hold.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._arguments: list[Any] = []

    def add(self, text: str, arguments: list[Any]) -> None:
        """Add a statement.  It must not begin with WITH."""
        self._texts.append(text)
        self._arguments += arguments

    async def run(self, tx: Tx) -> None:
        """Send the writes."""
        await tx.execute(_together(tuple(self._texts)), *self._arguments)


@functools.cache
def _together(texts: tuple[str, ...]) -> str:
    """Join several statements into one, and number their parameters through."""
    numbered, before = [], 0
    for text in texts:
        shift = before
        numbered.append(_PARAMETER.sub(lambda n, shift=shift: f"${int(n[1]) + shift}", text))  # type: ignore[misc]
        before += max((int(n) for n in _PARAMETER.findall(text)), default=0)
    *parts, last = numbered
    names = ", ".join(f"part_{n} AS (\n{part}\n)" for n, part in enumerate(parts, 1))
    return f"WITH {names}\n{last}" if parts else last


Writes: TypeAlias = "Tx | Together"


class Command(Struct, frozen=True):
    """A statement that returns the number of rows it changed."""

    statement: Statement

    async def run(self, tx: Writes, **given: Any) -> int:
        """Run it and return the number of rows.  With `Together` it runs later: returns 0."""
        arguments = self.statement.arguments(given)
        if isinstance(tx, Together):
            tx.add(self.statement.text, arguments)
            return 0
        tag = await tx.execute(self.statement.text, *arguments)
        return int(tag.rsplit(" ", 1)[-1]) if tag[-1:].isdigit() else 0


Bound: TypeAlias = Rows[Any] | Command


class Queries:
    """The statements of one slice.  `bound` holds those in use; a test checks that all are."""

    def __init__(self, name: str) -> None:
        source = (SQL / "queries" / f"{name}.sql").read_text()
        self.statements = _parse(source)
        self.bound: dict[str, Bound] = {}

    def rows(self, name: str, row: type[Row]) -> Rows[Row]:
        """Bind a statement to the struct its rows become."""
        bound = Rows(self.statements[name], row)
        self.bound[name] = bound
        return bound

    def command(self, name: str) -> Command:
        """Bind a statement that returns no rows."""
        bound = Command(self.statements[name])
        self.bound[name] = bound
        return bound


def _parse(source: str) -> dict[str, Statement]:
    headers = list(_HEADER.finditer(source))
    if len(headers) != len(_MARK.findall(source)):
        raise ValueError("a `-- name:` line is not of the form `-- name: statement(a, b)`")
    found: dict[str, Statement] = {}
    for here, following in zip(headers, [*headers[1:], None], strict=True):
        body = source[here.end() : following.start() if following else None]
        name = here[1]
        if name in found:
            raise ValueError(f"statement {name} is declared twice")
        parameters = tuple(p.strip() for p in here[2].split(",") if p.strip())
        found[name] = Statement(name, parameters, body.strip().rstrip(";"))
    return found
