"""The units, from their first start to a secret that is missing."""

import json
import os
import shutil
import signal
from pathlib import Path

from tests.deploy.probes.doing import ask, eventually, run, served, shown

INSTALL = "/opt/checkout/deploy/install.sh"
COMMAND = "/usr/local/sbin/tesserra-auth"
TLS = Path("/var/lib/tesserra-tls")


def look(found: dict[str, object], port: str, of_instance: str) -> None:
    """Fill in what was found."""

    def ready(port: str = port, scheme: str = "http") -> bool:
        return eventually(lambda: "ok" in ask(f"{scheme}://127.0.0.1:{port}/readyz"))

    found["serves"] = ready()
    run("systemctl", "start", "tesserra-auth@acme")
    found["instance serves"] = ready(of_instance)
    first = int(shown("tesserra-auth", "MainPID"))
    found["status"] = Path(f"/proc/{first}/status").read_text()
    found["mode of its folder"] = oct(Path("/var/lib/private/tesserra-auth").stat().st_mode)
    found["security.txt"] = ask(f"http://127.0.0.1:{port}/.well-known/security.txt")

    found["migrate"] = run(COMMAND, "migrate").returncode
    made = run(COMMAND, "organization", "create", "--slug", "booted", "--name", "Booted")
    found["command"] = made.returncode
    found["next key"] = json.loads(run(COMMAND, "key", "rotate", "--json").stdout)["algorithm"]
    for unit in ("tesserra-auth-prune", "tesserra-auth-prune@acme"):
        found[unit] = run("systemctl", "start", unit).returncode
    found["timer"] = run("systemctl", "is-active", "tesserra-auth-prune.timer").stdout.strip()
    found["installed again"] = run(INSTALL, "app", "systemd").stdout

    os.kill(first, signal.SIGKILL)
    found["comes back"] = eventually(lambda: shown("tesserra-auth", "NRestarts") == "1") and ready()

    _end_tls_itself()
    found["serves TLS"] = ready(scheme="https")
    _renew(found, int(port))

    run("systemctl", "stop", "tesserra-auth")
    found["result"] = shown("tesserra-auth", "Result")
    shutil.move("/etc/tesserra-auth/master.keys", "/opt/")
    found["without a secret"] = run("systemctl", "start", "tesserra-auth").returncode
    found["why not"] = run("systemctl", "status", "--no-pager", "tesserra-auth").stdout


def _end_tls_itself() -> None:
    """As install.sh does it, which would want certbot for that."""
    run("groupadd", "--system", "tesserra-tls")
    run("install", "-d", "-m", "750", "-g", "tesserra-tls", str(TLS))
    _give("first")
    drop_in = "/etc/systemd/system/tesserra-auth.service.d/own-tls.conf"
    run("install", "-D", "-m", "644", "/opt/checkout/deploy/systemd/own-tls.conf", drop_in)
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "tesserra-auth")


def _give(name: str) -> None:
    """Put a certificate where certbot's hook puts a copy."""
    for source, target in (("cert.pem", "fullchain.pem"), ("key.pem", "privkey.pem")):
        run(
            "install", "-m", "640", "-g", "tesserra-tls", f"/opt/{name}/{source}", f"{TLS}/{target}"
        )


def _renew(found: dict[str, object], port: int) -> None:
    main = shown("tesserra-auth", "MainPID")
    _give("second")
    found["reload"] = run("systemctl", "reload", "tesserra-auth").returncode
    second = Path("/opt/second/cert.pem").read_text().strip()
    found["takes a renewed certificate"] = eventually(lambda: served("localhost", port) == second)
    found["the same process"] = shown("tesserra-auth", "MainPID") == main
