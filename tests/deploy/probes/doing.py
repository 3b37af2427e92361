"""What the probes do things with."""

import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable

_ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_ANYBODY.check_hostname, _ANYBODY.verify_mode = False, ssl.CERT_NONE


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; both outputs are one."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it does within this time."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def ask(url: str) -> str:
    """Return what is answered with 2xx, from whomever; nothing when it is not."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=_ANYBODY) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def served(host: str, port: int) -> str:
    """Return the certificate that is served under a name, if one is."""
    try:
        return ssl.get_server_certificate((host, port)).strip()
    except OSError:
        return ""


def shown(unit: str, name: str) -> str:
    """Return a property of a unit."""
    return run("systemctl", "show", "-p", name, "--value", unit).stdout.strip()
