"""A host, from its first installation to its undoing, with an ACME server of its own."""

import os
import re
import socket
import subprocess
from pathlib import Path

from tests.deploy.probes.doing import ask, eventually, run, served

INSTALL = "/opt/checkout/deploy/install.sh"
PARTS = ("nginx", "certificate", "fail2ban", "ufw", "ssh", "upgrades")
LINEAGE = Path("/etc/letsencrypt/live/auth.example")
GUESSER, INTRUDER = "192.0.2.8", "192.0.2.9"
"""Who guesses at the service, and who at SSH."""
LINE = (
    '{"timestamp":"2026-11-24T00:00:00.000000Z","level":"info","event":"request",'
    '"request_id":"x","http.request.method":"POST","http.route":"/auth/login",'
    '"http.response.status_code":401,"duration_ms":1.0,"client.address":"%s",'
    '"reason":"bad_credentials: sign-in"}'
)
# Whoever is banned in the middle of a connection is not told that it has ended.
_OPTIONS = ("BatchMode=yes", "StrictHostKeyChecking=no", "LogLevel=ERROR")
SSH = ("timeout", "10", "ssh", *(f"-o{option}" for option in _OPTIONS))


def look(found: dict[str, object]) -> None:
    """Fill in what was found."""
    os.environ |= {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with subprocess.Popen(["pebble", "-config", "/opt/acme/pebble.json"]) as authority:
        eventually(lambda: _reaches("127.0.0.1", 14000))
        first = run(INSTALL, *PARTS)
        found["installed"] = first.returncode, first.stdout
        found["installed again"] = run(INSTALL, *PARTS).stdout
        _renew(found)
        authority.terminate()
    for address in (GUESSER, INTRUDER):
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    _guess(found)
    _intrude(found)
    found["firewall"] = run("ufw", "status").stdout
    found["who may try"] = run(*SSH, "root@127.0.0.1").stdout

    undone = run(INSTALL, "--undo")
    found["undone"] = undone.returncode, undone.stdout
    found["firewall afterwards"] = run("ufw", "status").stdout
    found["who may try afterwards"] = run(*SSH, "root@127.0.0.1").stdout
    for unit in ("nginx", "ssh", "certbot.timer", "renew-tesserra-auth.timer"):
        found[f"{unit} afterwards"] = run("systemctl", "is-active", unit).stdout.strip()
    found["a page afterwards"] = ask("http://127.0.0.1/")


def _renew(found: dict[str, object]) -> None:
    """By the unit, in its sandbox, as soon as it is thought to be due."""
    found["serves what was issued"] = served("auth.example", 443) == _issued()
    before = _issued()
    settings = Path("/etc/letsencrypt/renewal/auth.example.conf")
    text = re.sub("^# (renew_before_expiry).*", r"\1 = 3650 days", settings.read_text())
    settings.write_text(text)
    found["renewed"] = run("systemctl", "start", "renew-tesserra-auth").returncode
    found["another was issued"] = _issued() != before
    found["serves what was renewed"] = eventually(
        lambda: served("auth.example", 443) == _issued(), 10
    )


def _issued() -> str:
    return (LINEAGE / "cert.pem").read_text().strip()


def _guess(found: dict[str, object]) -> None:
    """Twenty times, as an instance of the service would tell it."""
    found["reached before"] = _reaches(GUESSER, 443)
    lines = "\n".join([LINE % GUESSER] * 20)
    told = 'printf "%s\\n" "$0"; sleep 2'  # who has ended at once is not known to the journal
    unit = ("--slice=tesserra.slice", "-p", "SyslogIdentifier=tesserra-auth")
    run("systemd-run", "-q", "--wait", *unit, "sh", "-c", told, lines)
    found["guesser banned"] = eventually(lambda: _is_banned("tesserra-auth", GUESSER), 10)
    found["reached then"] = _reaches(GUESSER, 443)


def _intrude(found: dict[str, object]) -> None:
    found["with a key"] = run(*SSH, "-i", "/opt/key", "ada@127.0.0.1", "echo", "in").stdout
    for _ in range(6):
        run(*SSH, "-b", INTRUDER, f"root@{INTRUDER}")
    found["intruder banned"] = eventually(lambda: _is_banned("sshd", INTRUDER), 10)
    found["with a key, banned"] = run(
        *SSH, "-i", "/opt/key", "-b", INTRUDER, f"ada@{INTRUDER}", "echo", "in"
    ).stdout


def _is_banned(jail: str, address: str) -> bool:
    return address in run("fail2ban-client", "status", jail).stdout.rpartition("Banned")[2]


def _reaches(address: str, port: int) -> bool:
    """From an address to itself."""
    try:
        socket.create_connection((address, port), 2, (address, 0)).close()
    except OSError:
        return False
    return True
