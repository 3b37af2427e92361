"""Copies of this checkout, and what runs in them."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.embedded.checkout import ROOT
from service.embedded.servers import free_port

PATIENCE = 60.0
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".data", "__pycache__", ".*_cache", ".hypothesis"
)


@dataclass
class Copy:
    """A copy of the tree at `root`, and a free port for its service."""

    root: Path
    user: int | None = None
    """Who runs `dev` there; None: whoever runs the tests."""
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where its service listens."""
        return f"http://localhost:{self.port}"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment as empty as a fresh machine's."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.root),
            "AUTH_BIND": f"127.0.0.1:{self.port}",
            **(more or {}),
        }

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> "Dev":
        """Start `dev` with these arguments; its output is collected in a file."""
        log = self.root.parent / f"{self.root.name}-{time.monotonic_ns()}.log"
        with log.open("wb") as sink:
            child = subprocess.Popen(
                [python, str(self.root / "dev"), *arguments],
                env=self.environment(env),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user is not None else None,
            )
        return Dev(child, log, self)

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> tuple[int, str]:
        """Run `dev` to its end; return its exit status and output."""
        dev = self.start(*arguments, env=env, python=python)
        status = dev.child.wait(PATIENCE * 3)
        return status, dev.output()


@dataclass
class Dev:
    """A `dev` that runs."""

    child: "subprocess.Popen[bytes]"
    log: Path
    copy: Copy

    def output(self) -> str:
        """Return what it said so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        """Return once it said these words."""
        wait_until(lambda: words in self.output() or self.child.poll() is not None)
        assert words in self.output(), self.output()

    def wait_until_serving(self) -> None:
        """Return once it said where the service is, and the service answers."""
        self.wait_for("Ctrl-C stops it")
        assert answers(self.copy.port), self.output()

    def family(self) -> dict[int, str]:
        """Return the processes it started, by number, each with its command line."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(status.parent.name)] = int(numbers(status)[1])
            except OSError:
                continue
        found = {self.child.pid}
        while grown := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= grown
        return {pid: command_line(pid) for pid in found}

    def processor_seconds(self) -> float:
        """Return what its processes have taken so far, with what they have started and awaited."""
        taken = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                fields = numbers(Path(f"/proc/{pid}/stat"))
                taken += sum(map(int, fields[11:15]))
        return taken / os.sysconf("SC_CLK_TCK")

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(with_signal)
        return self.child.wait(PATIENCE)


def make_copy(
    root: Path, *, owner: int | None = None, base: str = sys.executable, data: Path | None = None
) -> Copy:
    """Copy the tree there, with a virtual environment that borrows this one's packages.

    `data` is a .data/ of another copy to begin with.
    """
    shutil.copytree(ROOT, root, ignore=LEFT_OUT, symlinks=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv = root / ".venv" / version
    (venv / "bin").mkdir(parents=True)
    real = Path(base).resolve()
    (venv / "bin" / "python").symlink_to(real)
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    (venv / "pyvenv.cfg").write_text(
        f"home = {real.parent}\ninclude-system-site-packages = false\n"
    )
    stamp = {name: _digest(root / "requirements" / f"{name}.txt") for name in ("run", "dev")}
    (venv / "installed.json").write_text(json.dumps(stamp))
    if data is not None:
        subprocess.check_call(["/bin/cp", "-a", data, root / ".data"])
    if owner is not None:
        for path in (root, *root.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)
    return Copy(root, owner)


def _digest(path: Path) -> str:
    import hashlib  # noqa: PLC0415 - next to its one use

    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return once it is so, or when the time is up."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)


def answers(port: int, path: str = "/healthz") -> bool:
    """Whether a service there says 200."""
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        wire.request("GET", path)
        return wire.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        wire.close()


def command_line(pid: int) -> str:
    """Return it, or nothing when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def numbers(status: Path) -> list[str]:
    """Return the fields of a process's `stat` from its state on, which is proc(5)'s third.

    The name before them is in brackets and may hold some itself, as systemd's `(sd-pam)` does.

    Raises OSError when the process is gone.
    """
    return status.read_text().rpartition(")")[2].split()


def living(pids: "dict[int, str]") -> dict[int, str]:
    """Return those that still run; one that waits to be reaped does not."""
    alive = {}
    for pid, was in pids.items():
        try:
            state = numbers(Path(f"/proc/{pid}/stat"))[0]
        except OSError:
            continue
        if state != "Z" and command_line(pid):
            alive[pid] = was
    return alive


def printed_password(output: str) -> str:
    """Return the password of a first run's output."""
    found = re.search(r"^  password  (\S+)$", output, re.MULTILINE)
    assert found, output
    return found[1]


def python_for_everyone() -> str:
    """Return a Python of this minor version that every user may run, or nothing."""
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(wanted, path=os.defpath)):
        if candidate and is_open(Path(candidate).resolve()):
            return candidate
    return ""


def is_open(path: Path) -> bool:
    """Whether every user may enter it, or run it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))
