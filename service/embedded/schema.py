"""Generates sql/schema.sql: the schema that the migrations make, read from a real PostgreSQL."""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.embedded.checkout import ROOT, postgres, settings
from service.embedded.servers import EmbeddedError, clean_environment

SCHEMA = ROOT / "sql" / "schema.sql"
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_HEADER = "-- GENERATED from sql/migrations by `python -m service.embedded schema`.\n"
_MONTHS = "*_[0-9][0-9][0-9][0-9]_[0-9][0-9]"  # monthly partitions: which exist depends on today


def schema(*, check: bool) -> int:
    """Write the file, or with `check` print how it differs.  Return the exit status."""
    today = generate()
    if not check:
        SCHEMA.write_text(today)
        print(f"Wrote {SCHEMA.relative_to(ROOT)}.")
        return 0
    kept = SCHEMA.read_text() if SCHEMA.exists() else ""
    if kept == today:
        return 0
    changes = difflib.unified_diff(
        kept.splitlines(), today.splitlines(), "sql/schema.sql", "the migrations", lineterm="", n=1
    )
    print("\n".join(changes))
    print("sql/schema.sql is not what the migrations make: `python -m service.embedded schema`")
    return 1


def generate() -> str:
    """Start a PostgreSQL, migrate its empty database, and return the schema as SQL."""
    with tempfile.TemporaryDirectory(prefix="tesserra-schema-") as folder:
        server = postgres(Path(folder) / "postgres", THROWAWAY)
        try:
            server.start()
            migrate(server.url, Path(folder))
            return picture(server.url, server.program.with_name("pg_dump"))
        finally:
            server.stop()


def migrate(database_url: str, folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run `python -m service migrate` on a database; a temporary master key goes to `folder`."""
    outside = os.environ if environment is None else environment
    clean = {name: value for name, value in outside.items() if not name.startswith("AUTH_")}
    clean["AUTH_DATABASE_URL"] = database_url
    clean["AUTH_REDIS_URL"] = "redis://127.0.0.1:1/0"  # migrations need none
    done = subprocess.run(
        [sys.executable, "-P", "-m", "service", "migrate"],
        env=settings(clean, folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EmbeddedError(f"migrate: {(done.stderr or done.stdout).strip()}")


def picture(database_url: str, pg_dump: Path) -> str:
    """Return a schema as SQL, without the parts that differ between runs or months."""
    parts = urlsplit(database_url)
    done = subprocess.run(
        [
            *(pg_dump, "--schema-only", "--no-owner", "--no-privileges"),
            *(f"--exclude-table={_MONTHS}", "--exclude-table=schema_migrations"),
            *("-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or ""),
            parts.path.removeprefix("/"),
        ],
        env={**clean_environment(), "PGPASSWORD": unquote(parts.password or "")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EmbeddedError(f"pg_dump: {done.stderr.strip()}")
    noise = re.compile(r"(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict )")
    lines = [line for line in done.stdout.splitlines() if not noise.match(line)]
    return _HEADER + re.sub(r"\n{3,}", "\n\n", "\n" + "\n".join(lines).strip() + "\n")
