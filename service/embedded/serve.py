"""`./dev serve` and `./dev cli`: run the service on this checkout's own servers."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from service.embedded.checkout import (
    ROOT,
    Checkout,
    Listening,
    is_given,
    running_servers,
    settings,
)
from service.embedded.development import write_policy
from service.embedded.servers import EmbeddedError, Server, launched, why_not_bind

OWNER = "owner@demo.example"
_TO_OPEN = "/.well-known/oauth-authorization-server"
"""The page to open in a browser: what this server offers, and the addresses of its endpoints."""
_HEALTH_SECONDS = 60.0
_STOP_SECONDS = 20.0  # the service gives its workers 15


class Stop(BaseException):
    """A signal asked this process to stop."""


def serve() -> int:
    """Run the servers and the service until a signal.  Return the exit status."""
    _on_signals(_raise_stop)
    checkout = Checkout()
    if not checkout.try_lock("serve"):
        pid, verb, _ = checkout.owner()
        raise EmbeddedError(f"./dev {verb} runs in this checkout already (process {pid})")
    environment = settings(os.environ, checkout.data)
    environment |= write_policy(environment, checkout.data)
    try:
        _require_free(Listening.of(environment))
        with running_servers(environment, checkout.data) as servers:
            untold = prepare(environment, checkout.data, with_demo=True)
            checkout.announce("serve", _told(environment))
            return _run(environment, servers, untold)
    except Stop:
        print("Stopped.", flush=True)
        return 0


def _require_free(listening: Listening) -> None:
    host, port = listening.host, listening.port
    why = why_not_bind(host, port)
    if why is not None and why.errno == errno.EADDRINUSE:
        raise EmbeddedError(
            f"port {port} on {host} is taken by another program: stop it,"
            f" or choose another: AUTH_BIND={host}:{port + 1} ./dev serve"
        )
    if why is not None:
        raise EmbeddedError(f"AUTH_BIND: cannot listen there ({why.strerror})")


def cli(arguments: list[str]) -> int:
    """Run one command of the service on the servers of a running `serve`, or start servers."""
    checkout = Checkout()
    command = [sys.executable, "-P", "-m", "service", *arguments]
    told = None if checkout.try_lock("cli") else checkout.await_serve()
    if told is not None:
        same = {name: value for name, value in told.items() if not _is_overruled(name)}
        _become(command, {**settings(os.environ, checkout.data), **same})
    _on_signals(_raise_stop)
    environment = settings(os.environ, checkout.data)
    try:
        with contextlib.redirect_stdout(sys.stderr), running_servers(environment, checkout.data):
            prepare(environment, checkout.data, with_demo=False)
            _on_signals(lambda _number, _frame: None)  # Ctrl-C reaches the command by itself
            command = launched("self", signal.SIGTERM, *command)
            return subprocess.run(command, env=environment, check=False).returncode
    except Stop:
        return 130


def _is_overruled(name: str) -> bool:
    return is_given(os.environ, name.removesuffix("_FILE"))


def prepare(environment: Mapping[str, str], data: Path, *, with_demo: bool) -> Path | None:
    """Migrate, and on the first run make the demo organization and its owner.

    Return the file with the owner's password when it has not been printed yet, otherwise None.  The
    password stays in that file until it is printed, so that an interrupted run loses no account.

    Files note what was done, so that a later start does not repeat it.  The note about migrations
    counts only for our own database: a database that was given may have been emptied since.
    """
    trusted = not is_given(os.environ, "AUTH_DATABASE_URL")
    database = environment.get("AUTH_DATABASE_URL") or environment["AUTH_DATABASE_URL_FILE"]
    given = data / f"given-{hashlib.sha256(database.encode()).hexdigest()[:12]}"
    notes = data / "postgres" if trusted else given
    notes.mkdir(exist_ok=True)
    digest = _migrations_digest(environment.get("AUTH_DATABASE_SCHEMA", ""))
    migrated = notes / "migrated"
    if not trusted or not migrated.exists() or migrated.read_text() != digest:
        print("Migrating the database ...", flush=True)
        _service(environment, "migrate")
        migrated.write_text(digest)

    demo = notes / "demo"
    if not with_demo or (demo.exists() and not demo.read_text()):
        return None
    print("Making the organization demo and its owner ...", flush=True)
    # An earlier first run may have been cut short after any of these steps.
    again = demo.exists()
    if not again:
        _write_secretly(demo, secrets.token_urlsafe(12))
    organization = ("organization", "create", "--slug", "demo", "--name", "Demo", "--json")
    _service(environment, *organization, may_fail=True)
    owner = ("user", "create", "--email", OWNER, "--organization", "demo", "--role", "owner")
    flags = ("--platform-admin", "--password-stdin", "--json")
    made = _service(environment, *owner, *flags, stdin=demo.read_text(), may_fail=True)
    if made or again:
        return demo
    demo.write_text("")  # the given database has an owner with another password
    return None


def _write_secretly(note: Path, text: str) -> None:
    """Write a file completely or not at all, readable by its owner only."""
    part = note.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.rename(note)


def _service(
    environment: Mapping[str, str], *arguments: str, stdin: str = "", may_fail: bool = False
) -> bool:
    done = subprocess.run(
        launched("self", signal.SIGKILL, sys.executable, "-P", "-m", "service", *arguments),
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        line = f"`{' '.join(arguments[:2])}`: {words[-1] if words else 'failed without a word'}"
        if not may_fail:
            raise EmbeddedError(line)
        print(f"  {line}", flush=True)
    return done.returncode == 0


def _run(environment: dict[str, str], servers: Sequence[Server], untold: Path | None) -> int:
    started = time.monotonic()
    print("Starting the service ...", flush=True)
    service = subprocess.Popen(
        launched("self", signal.SIGTERM, sys.executable, "-P", "-m", "service", "serve"),
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches only us: we stop the service, then its servers
    )
    try:
        welcomed = False
        while service.poll() is None:
            if not welcomed and _answers(environment):
                _welcome(environment, untold.read_text() if untold else None)
                welcomed = True
                if untold:
                    untold.write_text("")
            if not welcomed and time.monotonic() - started > _HEALTH_SECONDS:
                raise EmbeddedError(f"/healthz does not answer after {_HEALTH_SECONDS:.0f} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.wait(0.5 if welcomed else 0.02)
            for server in servers:
                _revive(server)
    finally:
        _end(service)
    print(f"The service ended by itself (status {service.returncode}).", flush=True)
    return service.returncode or 1


def _revive(server: Server) -> None:
    """Start a server that ended again, on the same port, so that its loss can be tried out."""
    if server.is_running():
        return
    print(f"{server.title} ended; starting it again ...", flush=True)
    try:
        server.start()
    except EmbeddedError as exc:
        print(exc, flush=True)


def _end(service: "subprocess.Popen[bytes]") -> None:
    """Stop the service cleanly, or at once on a second signal.  Leave no worker behind."""
    _on_signals(lambda _number, _frame: service.kill())
    if service.poll() is None:
        service.terminate()
    try:
        service.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(service.pid, signal.SIGKILL)


def _welcome(environment: Mapping[str, str], password: str | None) -> None:
    url = Listening.of(environment).url
    body = json.dumps({"email": OWNER, "password": password or "PASSWORD", "organization": "demo"})
    print(
        f"\nTesserra Auth is on {url}\n"
        f"  e-mail    {OWNER}\n"
        f"  password  {password or 'as printed on the first run (./dev reset starts over)'}\n"
        f"  open      {url}{_TO_OPEN}\n"
        f"  sign in   curl -sS -c cookies.txt -H 'content-type: application/json'"
        f" -d '{body}' {url}/auth/login\n"
        f"This is a development server: its sign-in limits are generous, and it is not for"
        f" production.  Ctrl-C stops it.\n",
        flush=True,
    )


def _answers(environment: Mapping[str, str]) -> bool:
    """Whether /healthz answers 200."""
    import http.client  # noqa: PLC0415 - loaded while the service starts
    import ssl  # noqa: PLC0415

    there = Listening.of(environment)
    wire = http.client.HTTPConnection(there.host, there.port, timeout=2)
    if there.scheme == "https":
        trusting = ssl._create_unverified_context()  # noqa: S323, SLF001 - our own process, just started
        wire = http.client.HTTPSConnection(there.host, there.port, timeout=2, context=trusting)
    try:
        wire.request("GET", "/healthz")
        return wire.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        wire.close()


def _told(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("AUTH_")}


def _migrations_digest(schema: str) -> str:
    digest = hashlib.sha256(schema.encode())
    for path in sorted((ROOT / "sql" / "migrations").glob("*.sql")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _on_signals(react: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, react)


def _raise_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stop


def _become(command: list[str], environment: Mapping[str, str]) -> NoReturn:
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
