"""What was measured on, with what, and when: figures without that are none."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from service.embedded import binaries

_PACKAGES = ("granian", "litestar", "asyncpg", "redis", "cryptography", "uvloop")


class Machine(Struct, frozen=True):
    """The machine, the versions, the day, and what else it was doing."""

    day: str
    cores: int
    memory_gib: float
    system: str
    python: str
    servers: str
    packages: dict[str, str]
    load_before: float
    """The mean number of running processes in the minute before: 0 on a quiet machine."""

    def line(self) -> str:
        """Say it in one line."""
        busy = f", busy (load {self.load_before:.0f})" if self.load_before > 1 else ""
        return f"{self.day}, {self.cores} cores{busy}, Python {self.python}"


def describe_machine() -> Machine:
    """Describe this one, now."""
    return Machine(
        day=datetime.now(UTC).date().isoformat(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        servers=", ".join(_servers()),
        packages={name: version(name) for name in _PACKAGES},
        load_before=_LOAD_AT_START,
    )


def _servers() -> list[str]:
    said = []
    folder = binaries.first(binaries.wheel_postgres, binaries.installed_postgres)
    if folder is not None:
        said.append(f"PostgreSQL {_said(folder / 'postgres', '-V').split()[2]}")
    program = binaries.first(binaries.wheel_redis, binaries.installed_redis)
    if program is not None:
        title = "Redis" if program.name == "redis-server" else "Valkey"
        number = next(w for w in _said(program, "-v").split() if w.startswith("v="))
        said.append(f"{title} {number.removeprefix('v=')}")
    return said


def _said(program: Path, *arguments: str) -> str:
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


_LOAD_AT_START = round(os.getloadavg()[0], 2)
