"""The command line as a shell runs it: a process, its exit status and its two streams."""

import os
import subprocess
import sys
from pathlib import Path

from service.embedded.checkout import ROOT
from service.settings import Settings
from tests.processes import MASTER_KEY


def environment(settings: Settings, more: dict[str, str]) -> dict[str, str]:
    """Return the environment of a deployment; `more` are AUTH_* without the prefix."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
        "PYTHONPATH": str(ROOT),
        "AUTH_ISSUER": settings.issuer,
        "AUTH_DATABASE_URL": settings.database_url,
        "AUTH_REDIS_URL": settings.redis_url,
        "AUTH_MASTER_KEYS": MASTER_KEY,
        **{f"AUTH_{name.upper()}": value for name, value in more.items()},
    }


def run(
    settings: Settings,
    *arguments: str | Path,
    stdin: bytes = b"",
    more: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "service", *map(str, arguments)],
        env=environment(settings, more or {}),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=180,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def refusal(done: "subprocess.CompletedProcess[str]", status: int = 1) -> str:
    """Return the one line a command ends with when it cannot; 2 when it was asked for wrongly."""
    assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tesserra-auth: ")
    return line.removeprefix("tesserra-auth: ")
