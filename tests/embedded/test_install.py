"""`dev` installs exactly the locks, quietly, with uv or pip, whatever happened before.

Against a folder of one small wheel instead of a package index: fast, and no network.
"""

import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from service.embedded.checkout import ROOT
from tests.embedded.checkouts import living, wait_until

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Small:
    """A checkout with a lock of one package, `speck`, whose module prints its version."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / ".venv" / VERSION / "bin" / "python"
        self.stamp = root / ".venv" / VERSION / "installed.json"
        for part in ("requirements", "service/embedded", "wheels", "bin"):
            (root / part).mkdir(parents=True)
        shutil.copy(ROOT / "dev", root / "dev")
        (root / "service" / "__init__.py").write_text("")
        (root / "service" / "embedded" / "__init__.py").write_text("")
        (root / "service" / "embedded" / "__main__.py").write_text("import speck")
        self.release("1.0")

    def release(self, version: str, *, hash_of: bytes | None = None) -> None:
        """Make a wheel of this version, and the locks that want it."""
        wheel = self.root / "wheels" / f"speck-{version}-py3-none-any.whl"
        folder = f"speck-{version}.dist-info"
        files = {
            "speck.py": f"print('speck {version}')\n",
            f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: speck\nVersion: {version}\n",
            f"{folder}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{name},sha256={_b64(text)},{len(text)}" for name, text in files.items()]
        files[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""])
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        digest = hashlib.sha256(hash_of or wheel.read_bytes()).hexdigest()
        for name in ("run", "dev"):
            lock = self.root / "requirements" / f"{name}.txt"
            lock.write_text(f"speck=={version} --hash=sha256:{digest}\n")

    def start(
        self, *, path: str = os.defpath, output: int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Start `./dev serve`, which here only imports the package."""
        wheels = str(self.root / "wheels")
        environment = {
            "PATH": f"{self.root / 'bin'}:{path}",
            "HOME": str(self.root),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels,
            "PIP_CONFIG_FILE": os.devnull,
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": wheels,
        }
        return subprocess.Popen(
            [sys.executable, str(self.root / "dev"), "serve"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *, path: str = os.defpath) -> tuple[int, str]:
        """Run it to its end."""
        child = self.start(path=path)
        said, _ = child.communicate(timeout=120)
        return child.returncode, said


def _b64(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a checkout that nothing is installed in."""
    return Small(tmp_path / "small")


def test_with_pip_alone_and_again_only_when_the_lock_changes(small: Small) -> None:
    status, said = small.run()
    assert status == 0, said
    first, *progress, counted, last = said.splitlines()
    assert first == f"-- Installing requirements/run.txt into .venv/{VERSION}"
    assert all(re.fullmatch(r"   .* packages \w+", line) for line in progress), said
    assert re.fullmatch(r"   1 packages installed in \d+\.\d s", counted)
    assert last == "speck 1.0"
    assert "speck" in (small.root / ".venv" / "install.log").read_text()
    assert small.run() == (0, "speck 1.0\n")
    small.release("2.0")
    status, said = small.run()
    assert status == 0, said
    assert said.endswith("speck 2.0\n")


def test_with_uv_when_it_is_there(small: Small) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv on PATH")
    status, said = small.run(path=f"{Path(uv).parent}:{os.defpath}")
    assert status == 0, said
    assert "pip" not in said


def test_with_pip_when_uv_fails(small: Small) -> None:
    broken = small.root / "bin" / "uv"
    broken.write_text("#!/bin/sh\necho uv is broken; exit 3\n")
    broken.chmod(0o755)
    status, said = small.run()
    assert status == 0, said
    assert "uv is broken" in said
    assert "uv could not install the packages; trying pip" in said
    assert said.endswith("speck 1.0\n")


def test_another_hash_is_refused_and_nothing_counts_as_installed(small: Small) -> None:
    small.release("1.0", hash_of=b"another")
    status, said = small.run()
    assert status == 1
    assert "Expected sha256" in said, "the installer's own words"
    assert "could not be installed" in said.splitlines()[-1]
    assert not small.stamp.exists()


def test_an_install_that_was_cut_short_or_lost_its_python_is_done_again(small: Small) -> None:
    half = small.python.parents[1]
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("half a file")
    status, said = small.run()
    assert status == 0, said
    assert said.endswith("speck 1.0\n")

    small.python.unlink()
    small.python.symlink_to("/nowhere/python")
    status, said = small.run()
    assert status == 0, said


def test_two_at_once_install_once(small: Small) -> None:
    children = [small.start(), small.start()]
    said = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sum("packages installed in" in words for words in said) == 1, said


def test_a_long_install_shows_on_a_terminal_how_far_it_is(small: Small) -> None:
    """A stand-in for uv prints what pip prints, and takes long: the pace is the point here."""
    slow = small.root / "bin" / "uv"
    slow.write_text("#!/bin/sh\necho Collecting speck==1.0; sleep 2; exit 1\n")
    slow.chmod(0o755)
    shown, hidden = os.openpty()
    child = small.start(output=hidden)
    os.close(hidden)
    said = ""
    while "speck 1.0" not in said:
        said += os.read(shown, 4096).decode()
    os.close(shown)
    assert child.wait(60) == 0
    assert "\r\033[K   1 of 1 packages fetched" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_install_that_is_stopped_leaves_nothing_running(
    small: Small, number: signal.Signals
) -> None:
    slow = small.root / "bin" / "uv"
    slow.write_text("#!/bin/sh\nsleep 60 & echo $! >started; mv started installing; wait\n")
    slow.chmod(0o755)
    child, told = small.start(), small.root / "installing"
    wait_until(told.exists)
    family = {child.pid: "", int(told.read_text()): ""}
    child.send_signal(number)
    child.communicate(timeout=20)
    assert child.returncode == (-number if number == signal.SIGKILL else 128 + number)
    wait_until(lambda: not living(family), 20)
    assert not living(family)
    assert not small.stamp.exists()
    slow.unlink()
    assert small.run()[0] == 0


@pytest.mark.parametrize("older", ["python3.7", "python3.8", "python3.9", "python3.10"])
def test_an_older_python_gets_one_line(small: Small, older: str) -> None:
    found = shutil.which(older)
    works = found and not subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL)
    if not found or not works:
        pytest.skip(f"no {older} here")
    done = subprocess.run(
        [found, str(small.root / "dev"), "serve"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("dev: Python 3.11 or newer is needed")
    assert done.stderr.count("\n") == 1


def test_a_wrong_verb_is_told_and_no_verb_lists_them(small: Small) -> None:
    def dev(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(small.root / "dev"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert dev().stdout.startswith("./dev serve")
    assert dev("help").returncode == 0
    assert dev("sreve").returncode == 2
    assert "no such verb: sreve" in dev("sreve").stderr
    assert dev("serve", "now").returncode == 2
    assert not (small.root / ".venv").exists()
