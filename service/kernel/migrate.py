"""Forward-only migrations: sql/migrations/NNNN_idea.sql, checksummed, each in a transaction.

The lock is polled with `pg_try_advisory_lock`.  A blocking wait would hold a snapshot and could
deadlock with the CREATE INDEX CONCURRENTLY of the migration that holds the lock.  A file whose
first line is `-- no-transaction` runs outside a transaction.
"""

import asyncio
import hashlib
import re
from pathlib import Path

import asyncpg
from msgspec import Struct

from service.kernel.sql import SQL

FOLDER = SQL / "migrations"
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0


class MigrationError(Exception):
    """Schema and files disagree, a migration failed, or another migration takes too long."""


class Migration(Struct, frozen=True):
    """One file."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def known(folder: Path = FOLDER) -> list[Migration]:
    """Read the files, in order."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if not match:
            raise MigrationError(f"{path.name}: a migration is named NNNN_idea.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text()))
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations are not numbered 0001, 0002, ... without a gap")
    return found


async def pending(
    connection: "asyncpg.Connection[asyncpg.Record]", folder: Path = FOLDER
) -> list[Migration]:
    """Return the migrations still to apply.  MigrationError when an applied file was changed."""
    table = await connection.fetchval("SELECT to_regclass('schema_migrations')")
    applied = {}
    if table is not None:
        rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
        applied = {row["version"]: row["checksum"] for row in rows}
    migrations = known(folder)
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"migration {migration.version:04} was changed after it had been applied"
            )
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise MigrationError(
            f"the database is at migration {newest:04}, newer than this release knows"
        )
    return [m for m in migrations if m.version not in applied]


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]", schema: str, folder: Path = FOLDER
) -> list[Migration]:
    """Apply the pending migrations in order and return them.  MigrationError."""
    create_schema = f"CREATE SCHEMA IF NOT EXISTS {_identifier(schema)}"
    key = lock_key(schema)
    await _lock(connection, key)
    try:
        await connection.execute(create_schema)  # under the lock: two at once would collide
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = await pending(connection, folder)
        for migration in applied:
            try:
                await _apply(connection, migration)
            except asyncpg.PostgresError as exc:
                name = f"{migration.version:04}_{migration.name}"
                raise MigrationError(f"migration {name}: {type(exc).__name__}") from exc
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", key)


def lock_key(schema: str) -> int:
    """Return the key of the advisory lock that a migration of this schema holds."""
    return int.from_bytes(hashlib.sha256(f"migrate {schema}".encode()).digest()[:8], signed=True)


async def grant_to(connection: "asyncpg.Connection[asyncpg.Record]", role: str) -> None:
    """Grant a role the privileges the service needs, and no more.  MigrationError: unknown role."""
    if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role):
        raise MigrationError("--grant-to: there is no such role")
    await connection.execute("SELECT auth_grant_to($1)", role)


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]", key: int) -> None:
    waited = 0.0
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
        if waited >= _PATIENCE_SECONDS:
            raise MigrationError(
                f"another migration has been running for {_PATIENCE_SECONDS:.0f} s"
            )
        await asyncio.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    record = (
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )
    if migration.text.startswith("-- no-transaction"):
        await connection.execute(migration.text)
        await connection.execute(*record)
        return
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        await connection.execute(migration.text)
        await connection.execute(*record)


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise MigrationError(f"not a schema name: {name[:80]!r}")
    return f'"{name}"'
