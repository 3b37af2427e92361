"""What is kept of runs, so that faults/RESULTS.md can show it: `faults/results/`."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.machine import Machine
from service.embedded.checkout import ROOT

T = TypeVar("T")

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "RESULTS.md"


def keep(name: str, what: object) -> None:
    """Keep what came of something in place of what came of it before."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(what), indent=1) + b"\n"
    )


def read(name: str, kind: type[T]) -> T | None:
    """Return what is kept under a name."""
    path = FOLDER / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def state() -> str:
    """Name the commit, and say when what is attacked is not what it holds."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    return commit + ("+" if _git("status", "--porcelain", "--", "service", "sql") else "")


def machines(described: Iterable[Machine]) -> str:
    """Say in a line for each what the figures were found on."""
    return "\n".join(
        dict.fromkeys(
            f"{machine.cores} cores shared by all of it, {machine.memory_gib:.0f} GiB, Python"
            f" {machine.python}, {machine.servers}."
            for machine in described
        )
    )


def _git(*arguments: str) -> str:
    asked = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
