"""A worker that cannot start is known as long as it lives, and no longer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.embedded.checkout import ROOT
from service.kernel import waiting

WAITS = """
from service.kernel import waiting
with waiting.told():
    print(flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(waiting.FOLDER, str(tmp_path))
    return tmp_path


def other() -> "subprocess.Popen[bytes]":
    """Start another process that cannot start; return once it has told."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process


def test_one_that_waits_is_known_until_it_starts(folder: Path) -> None:
    assert not waiting.is_any()
    with waiting.told():
        with waiting.told():
            assert waiting.is_any()
        assert waiting.is_any()
    assert not waiting.is_any()
    assert not list(folder.iterdir())


def test_one_that_is_killed_while_it_waits_leaves_nothing_behind(folder: Path) -> None:
    with other() as killed, other() as lives:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(folder.iterdir())) == 2
        assert waiting.is_any()
        assert len(list(folder.iterdir())) == 1
        lives.communicate(b"\n")
    assert not waiting.is_any()
    assert not list(folder.iterdir())


def test_a_mark_that_nobody_holds_says_nothing_whoever_has_the_number_now(folder: Path) -> None:
    (folder / f"waiting-{os.getpid()}").touch()
    assert not waiting.is_any()
    assert not list(folder.iterdir())


def test_without_a_folder_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(waiting.FOLDER)
    with waiting.told():
        assert not waiting.is_any()


def test_a_folder_that_is_gone_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(waiting.FOLDER, str(tmp_path / "gone"))
    with waiting.told():
        assert not waiting.is_any()
