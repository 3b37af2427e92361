"""The units under a systemd that runs: install.sh into a Debian, which is then booted.

TESSERRA_TEST_ROOT names the Debian (debootstrap, with systemd-sysv, dbus, python3, python3-venv),
which is copied.  The container shares this machine's loopback, where the tests' servers listen.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded.checkout import ROOT
from service.embedded.servers import free_port
from tests.deploy.programs import need, need_root, run
from tests.processes import MASTER_KEY
from tests.servers import cloned_database, redis_database

_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_UNIT = "[Service]\nExecStart=/opt/probe\n[Install]\nWantedBy=multi-user.target\n"
_PROBE = """\
#!/bin/bash
exec >/opt/report 2>&1
ready() { # PORT: within half a minute
    for n in $(seq 60); do
        python3 -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$1/readyz')" \\
            2>/dev/null && echo yes && return
        sleep 0.5
    done; echo no
}
main() { systemctl show -p MainPID --value tesserra-auth; }
say() { echo "$1=$2"; }
say serves "$(ready $1)"
systemctl start tesserra-auth@acme
say instance "$(ready $2)"
grep -E 'NoNewPrivs|Seccomp:|CapEff|^Uid' /proc/$(main)/status
/usr/local/sbin/tesserra-auth migrate; say migrate $?
/usr/local/sbin/tesserra-auth organization create --slug booted --name Booted; say command $?
systemctl start tesserra-auth-prune; say prune $?
systemctl start tesserra-auth-prune@acme; say prune_instance $?
say timer "$(systemctl is-active tesserra-auth-prune.timer)"
systemctl reload tesserra-auth; say reload $?
sleep 6; say reloaded "$(ready $1)"
say restarts_before "$(systemctl show -p NRestarts --value tesserra-auth)"
kill -9 $(main); sleep 4
say killed "$(ready $1)"
say restarts_after "$(systemctl show -p NRestarts --value tesserra-auth)"
say private "$(stat -c %a /var/lib/private/tesserra-auth)"
systemctl stop tesserra-auth
say result "$(systemctl show -p Result --value tesserra-auth)"
mv /etc/tesserra-auth/master.keys /opt/
systemctl start tesserra-auth; say without $?
systemctl status tesserra-auth --no-pager | grep Assert
systemctl poweroff
"""


@pytest.fixture(scope="module")
def report() -> Iterator[str]:
    """Boot, probe from inside, power off."""
    need_root("boots a container")
    nspawn = need("systemd-nspawn")
    below = os.environ.get("TESSERRA_TEST_ROOT")
    if below is None:
        pytest.skip("TESSERRA_TEST_ROOT names no Debian (debootstrap) to boot")
    folder = Path(tempfile.mkdtemp(prefix="tesserra-boot-"))
    root, ports = folder / "root", (free_port(), free_port())
    try:
        run("cp", "-a", below, root)
        with cloned_database() as database, redis_database() as redis:
            _configure(root, database, redis, ports)
            install = ("/opt/checkout/deploy/install.sh", "app", "systemd")
            given = {**_PATH, "TESSERRA_DOMAIN": "auth.example"}
            done = run("chroot", root, *install, env=given, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
            run("chroot", root, "systemctl", "enable", "-q", "probe", env=_PATH)
            subprocess.run(
                [nspawn, "--register=no", "--keep-unit", "-q", "-D", root, "-b"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=240,
                check=False,
            )
            yield (root / "opt" / "report").read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(root: Path, database: str, redis: str, ports: tuple[int, int]) -> None:
    etc = root / "etc" / "tesserra-auth"
    for folder, port in ((etc, ports[0]), (etc / "acme", ports[1])):
        folder.mkdir(mode=0o700)
        (folder / "master.keys").write_text(MASTER_KEY)
        (folder / "database.url").write_text(database)
        (folder / "redis.url").write_text(redis)
        (folder / "auth.env").write_text(
            f"AUTH_ISSUER=https://auth.example\nAUTH_BIND=127.0.0.1:{port}\n"
        )
    (root / "etc" / "pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc" / "ssl" / "certs")
    for part in ("deploy", "service", "sql", "requirements", "README.md"):
        target = root / "opt" / "checkout" / part
        target.parent.mkdir(exist_ok=True)
        run("cp", "-a", ROOT / part, target)
    probe = root / "opt" / "probe"
    probe.write_text(
        _PROBE.replace("ready $1)", f"ready {ports[0]})").replace("ready $2)", f"ready {ports[1]})")
    )
    probe.chmod(0o755)
    (root / "etc" / "systemd" / "system" / "probe.service").write_text(_UNIT)


def test_it_serves_in_its_sandbox_and_comes_back(report: str) -> None:
    told = dict(re.findall(r"^(\w+)=(.*)$", report, flags=re.MULTILINE))
    for what in ("serves", "instance", "reloaded", "killed"):
        assert told[what] == "yes", report
    for what in ("migrate", "command", "prune", "prune_instance", "reload"):
        assert told[what] == "0", report
    assert told["timer"] == "active"
    assert (told["restarts_before"], told["restarts_after"]) == ("0", "1")
    assert told["private"] == "700"
    assert told["result"] == "success"


def test_it_has_no_rights(report: str) -> None:
    assert re.search(r"^CapEff:\s0+$", report, flags=re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", report, flags=re.MULTILINE)
    assert re.search(r"^Seccomp:\s2$", report, flags=re.MULTILINE)
    (uid,) = re.findall(r"^Uid:\s(\d+)", report, flags=re.MULTILINE)
    assert int(uid) > 60_000  # a user that exists while it runs


def test_a_missing_secret_is_named_and_nothing_starts(report: str) -> None:
    assert re.search(r"^without=[1-9]", report, flags=re.MULTILINE)
    assert "AssertFileNotEmpty=/etc/tesserra-auth/master.keys was not met" in report
