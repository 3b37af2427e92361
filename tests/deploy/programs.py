"""The programs the files of deploy/ are for.  Where one is missing its tests skip, and say so."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.embedded.checkout import ROOT

DEPLOY = ROOT / "deploy"
_MORE = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/sbin:/sbin"
"""Beside PATH: what the lock brings, and what is for root."""


def need(name: str) -> str:
    """Return the path of a program; the test skips when it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_MORE}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def need_root(why: str) -> None:
    """Skip unless the test runs as root."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root: {why}")


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
    timeout: float = 120,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; its status is the caller's to look at."""
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        input=stdin,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
