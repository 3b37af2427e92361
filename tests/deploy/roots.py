"""A whole Debian to install into, that forgets everything: this machine's own, under an overlay.

TESSERRA_TEST_ROOT names another (made by debootstrap) to lie below instead.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.embedded.checkout import ROOT
from tests.deploy.programs import need, need_root, run

BELOW = Path(os.environ.get("TESSERRA_TEST_ROOT", "/"))
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
[ "$2" = / ] || cp -L /etc/ssl/certs/ca-certificates.crt "$1/root/etc/ssl/certs/" || :
policy=$1/root/usr/sbin/policy-rc.d
rm -f "$policy"; printf '#!/bin/sh\\nexit 101\\n' >"$policy"; chmod +x "$policy"
echo ready
exec sleep infinity
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
    """Make one; it is gone on the way out."""
    need_root("mounts")
    if not (BELOW / "etc" / "debian_version").exists():
        pytest.skip("this machine is no Debian, and TESSERRA_TEST_ROOT names none")
    unshare = [need("unshare"), "-m", "--propagation", "private", "-p", "--fork", "--kill-child"]
    child = subprocess.Popen(
        [*unshare, "bash", "-c", _MOUNT, "mount", folder, BELOW, ROOT],
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
