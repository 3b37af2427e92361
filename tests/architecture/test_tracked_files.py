"""What is checked in works on any machine: no index's address, no folder of somebody's."""

import re
import subprocess

import pytest

from tests.architecture.source import ROOT

HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|proxy\.golang|crates\.io|artifactory|nexus"
)
MACHINE = re.compile(r"(?<![\w.:/])/(home|Users|work|root|farm|mnt|tmp/plan)/[\w.-]+")
_TEXT = (
    ".py",
    ".sql",
    ".lua",
    ".toml",
    ".txt",
    ".md",
    ".json",
    ".yaml",
    ".yml",
    ".conf",
    ".sha256",
)
"""Suffixes of what is read, beside files that have none."""


def tracked() -> list[str]:
    told = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if told.returncode:
        pytest.skip("not a git checkout")
    names = told.stdout.split("\0")
    return [n for n in names if n and (n.endswith(_TEXT) or "." not in n.rpartition("/")[2])]


def offenders(pattern: re.Pattern[str], *but: str) -> list[str]:
    """Return `file:line: text` of every match."""
    found: list[str] = []
    for name in tracked():
        path = ROOT / name
        if name in but or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{name}:{number}: {match[0]}")
    return found


def test_no_file_names_a_package_registry() -> None:
    assert offenders(HOSTS, "tests/architecture/test_tracked_files.py") == []


def test_no_file_holds_a_path_of_somebody_s_machine() -> None:
    assert offenders(MACHINE, "tests/architecture/test_tracked_files.py") == []


def test_the_locks_name_no_host() -> None:
    for lock in (ROOT / "requirements").iterdir():
        assert "://" not in lock.read_text(), lock.name
