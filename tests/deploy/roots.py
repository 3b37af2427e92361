"""A whole Debian, made by debootstrap: to boot, to build on, to install into (under an overlay)."""

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.embedded.checkout import ROOT
from tests.deploy.programs import need, need_root, run

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOUNT = """\
set -e
mkdir -p "$1"; mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"; mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"; mount -t tmpfs tmpfs "$1/root/tmp"
mkdir -p "$1/root/opt/checkout"; mount --bind "$3" "$1/root/opt/checkout"
# Whom this machine trusts, who may stand between it and the package index.
cp -L /etc/ssl/certs/ca-certificates.crt "$1/root/etc/ssl/certs/" || :
policy=$1/root/usr/sbin/policy-rc.d
rm -f "$policy"; printf '#!/bin/sh\\nexit 101\\n' >"$policy"; chmod +x "$policy"
echo ready
exec sleep infinity
"""


def debootstrapped() -> Path:
    """Return the folder of one; TESSERRA_TEST_ROOT names another than the checkout's own."""
    given = os.environ.get("TESSERRA_TEST_ROOT")
    made = _made() if given is None else Path(given)
    if isinstance(made, str):
        pytest.skip(made)
    return made


@cache
def _made() -> Path | str:
    """Return why not, where there is none."""
    done = run(Path(__file__).with_name("make-debian"), timeout=600)
    return Path(done.stdout.strip()) if done.returncode == 0 else done.stderr.strip()


_PROBE = """\
[Service]
Environment=PYTHONDONTWRITEBYTECODE=1 TESSERRA_DOMAIN=auth.example TESSERRA_SSH_USERS=ada
Environment=TESSERRA_ACME_EMAIL=root@acme.example TESSERRA_ACME_SERVER=https://localhost:14000/dir
WorkingDirectory=/opt/checkout
ExecStart=/usr/bin/python3 -m tests.deploy.probes {arguments}
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Debian:
    """The root, as seen from the first process in it; what is started there ends with that."""

    pid: int
    folder: Path

    def run(
        self, *command: str, env: Mapping[str, str] | None = None, online: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in it; without `online` with no network at all, its firewall its own."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p"]
        alone = [] if online else ["unshare", "-n"]
        kept = {n: v for n, v in os.environ.items() if n.startswith(("PIP_", "SSL_CERT"))}
        given = [f"{k}={v}" for k, v in {**kept, "PATH": _PATH, **(env or {})}.items()]
        inside = ["chroot", str(self.folder / "root"), "/usr/bin/env", "-i", *given]
        return run(*enter, *alone, *inside, *command, timeout=600)

    @property
    def root(self) -> Path:
        """Return it as this process sees it, to read and write in."""
        return Path(f"/proc/{self.pid}/root{self.folder}/root")

    def boot(self, probe: str, *arguments: str, alone: bool = False) -> dict[str, Any]:
        """Start its systemd, do one of tests/deploy/probes in it, and return what that found.

        It shares this machine's loopback, unless it is `alone`.
        """
        unit = self.root / "etc" / "systemd" / "system" / "probe.service"
        unit.write_text(_PROBE.format(arguments=" ".join([probe, *arguments])))
        assert self.run("systemctl", "enable", "-q", "probe").returncode == 0
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost auth.example\n")
        # Without what is mounted in it, which would be in systemd's way.  One at a time: they would
        # share a control group, hence each other's services.
        script = (
            'mkdir "$0/booted"; mount --bind "$0/root" "$0/booted"; exec "$@" -D "$0/booted" -b'
        )
        flags = ["--register=no", "--keep-unit", "-q", f"--bind-ro={ROOT}:/opt/checkout"]
        flags += ["--private-network"] if alone else []
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "sh", "-c", script]
        with Path(tempfile.gettempdir(), "tesserra-boot.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run(*enter, self.folder, need("systemd-nspawn"), *flags, timeout=240)
        found: dict[str, Any] = json.loads(self.text("/opt/report"))
        assert "failed" not in found, found["failed"]
        return found

    def text(self, path: str) -> str:
        """Return what a file in it holds."""
        done = self.run("cat", path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self, *folders: str) -> dict[str, str]:
        """Return every file and link below some folders, and a digest of what it holds."""
        script = (
            'find "$@" -type f -print0 2>/dev/null | xargs -0 sha256sum;'
            ' find "$@" ! -type d -printf "%m:%l  %p\\n" 2>/dev/null'
        )
        told = self.run("sh", "-c", script, "sh", *folders)
        found: dict[str, str] = {}
        for line in told.stdout.splitlines():
            fact, _, path = line.partition("  ")
            found[path] = f"{found.get(path, '')} {fact}"
        return found


@contextmanager
def debian(folder: Path) -> Iterator[Debian]:
    """Make one that forgets everything on the way out."""
    need_root("mounts")
    below = debootstrapped()
    unshare = [need("unshare"), "-m", "--propagation", "private", "-p", "--mount-proc"]
    unshare += ["--fork", "--kill-child"]
    child = subprocess.Popen(
        [*unshare, "bash", "-c", _MOUNT, "mount", folder, below, ROOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout
        assert child.stderr
        if child.stdout.readline() != "ready\n":
            pytest.skip(f"no overlay can be mounted here: {child.stderr.read().strip()}")
        (first,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        yield Debian(int(first), folder)
    finally:
        child.kill()  # and with it, by the kernel, everything in it
        child.communicate(timeout=20)
