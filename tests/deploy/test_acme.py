"""A certificate is issued and renewed by certbot from a real ACME server, while nginx serves."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.embedded.servers import free_port
from tests.deploy.perimeter import DOMAIN, Perimeter, perimeter
from tests.deploy.programs import DEPLOY, need, run
from tests.processes import service

LANES = 4


class Authority:
    """pebble, a small ACME server; it asks nginx's port 80 as the real one would."""

    def __init__(self, edge: Perimeter, folder: Path, *, ocsp: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        self._edge = edge
        (folder / "pebble.json").write_text(
            json.dumps(
                {
                    "pebble": {
                        "listenAddress": f"127.0.0.1:{self.port}",
                        "managementListenAddress": f"127.0.0.1:{free_port()}",
                        "certificate": str(edge.folder / "cert.pem"),
                        "privateKey": str(edge.folder / "key.pem"),
                        "httpPort": edge.http,
                        "tlsPort": edge.https,
                        "ocspResponderURL": ocsp,
                        "externalAccountBindingRequired": False,
                    }
                }
            )
        )

    @contextmanager
    def listening(self) -> Iterator["Authority"]:
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        with (self.folder / "pebble.log").open("wb") as log:
            child = subprocess.Popen(
                [need("pebble"), "-config", self.folder / "pebble.json"],
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < until, (self.folder / "pebble.log").read_text()
                    time.sleep(0.05)
            yield self
        finally:
            child.terminate()
            child.wait(10)


class Host:
    """The commands as the host runs them, with folders of the test's own."""

    def __init__(self, edge: Perimeter, authority: Authority, folder: Path) -> None:
        self.edge, self.folder = edge, folder
        shims = folder / "bin"
        shims.mkdir()
        # The manager's part: what `systemctl reload nginx` does is a SIGHUP to nginx's master.
        systemctl = shims / "systemctl"
        systemctl.write_text(
            f'#!/bin/sh\necho "$@" >>{folder}/told\n'
            f'[ "$1 $2" != "reload nginx" ] || kill -HUP {edge.child.pid}\n'
        )
        systemctl.chmod(0o755)
        hook = folder / "deploy-hook"
        text = (DEPLOY / "certbot" / "deploy-hook").read_text()
        hook.write_text(text.replace("${TESSERRA_DOMAIN}", DOMAIN))
        hook.chmod(0o755)
        self.hook = hook
        self.env = {
            "PATH": f"{shims}:{os.environ['PATH']}:/usr/sbin",
            "REQUESTS_CA_BUNDLE": str(edge.folder / "cert.pem"),
            "TESSERRA_DOMAIN": DOMAIN,
            "TESSERRA_ACME_EMAIL": "root@acme.example",
            "TESSERRA_ACME_SERVER": f"https://127.0.0.1:{authority.port}/dir",
            "TESSERRA_ACME_WEBROOT": str(edge.folder / "acme"),
            "TESSERRA_NGINX": str(edge.folder / "tesserra-auth"),
            "TESSERRA_TLS": str(folder / "tls"),
        }
        self.own = [
            item
            for name in ("config", "work", "logs")
            for item in (f"--{name}-dir", str(edge.folder / f"le-{name}"))
        ]

    @property
    def lineage(self) -> Path:
        return self.edge.folder / "le-config" / "live" / DOMAIN

    def issue(self) -> "subprocess.CompletedProcess[str]":
        flags = [*self.own, "--deploy-hook", str(self.hook)]
        return run(DEPLOY / "certbot" / "issue", *flags, env=self.env)

    def renew(self) -> "subprocess.CompletedProcess[str]":
        unit = (DEPLOY / "systemd" / "renew-tesserra-auth.service").read_text()
        (line,) = [li for li in unit.splitlines() if li.startswith("ExecStart=")]
        command = line.removeprefix("ExecStart=").replace("${TESSERRA_DOMAIN}", DOMAIN).split()
        return run(need("certbot"), *command[1:], "--force-renewal", *self.own, env=self.env)

    def told(self) -> list[str]:
        """Return what the manager was asked."""
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
async def edge() -> AsyncIterator[Perimeter]:
    for program in ("nginx", "certbot", "pebble"):
        need(program)
    unlimited = [("# 10.1.0.0/16 1;", "127.0.0.0/8 1;")]
    async with (
        service(env={"AUTH_ISSUER": f"https://{DOMAIN}"}) as running,
        perimeter(running.environment["AUTH_BIND"], changes=unlimited) as edge,
    ):
        yield edge


def _serial(edge: Perimeter) -> int:
    """Return what names the certificate that nginx serves."""
    with closing(_open(edge)) as wire:
        der = wire.getpeercert(binary_form=True)
    assert der
    return hash(der)


def _open(edge: Perimeter) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", edge.https), timeout=20)
    return context.wrap_socket(plain, server_hostname=DOMAIN)


def _ask(edge: Perimeter) -> bytes:
    with closing(_open(edge)) as wire:
        wire.sendall(
            f"GET /readyz HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode()
        )
        return wire.recv(65536).split(b"\r\n")[0]


_SLOW_BYTES = 60


def _upload_slowly(edge: Perimeter, hurry: threading.Event) -> bytes:
    """Send a body, a byte each second until told to hurry; return the first line of the answer."""
    with closing(_open(edge)) as wire:
        head = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Type: application/json\r\n"
        wire.sendall(f"{head}Content-Length: {_SLOW_BYTES}\r\n\r\n".encode())
        for _ in range(_SLOW_BYTES):
            hurry.wait(1)
            wire.sendall(b" ")
        return wire.recv(65536).split(b"\r\n")[0]


async def test_a_certificate_is_issued_and_renewed_and_no_request_fails(
    edge: Perimeter, tmp_path: Path
) -> None:
    with Authority(edge, tmp_path, ocsp="http://127.0.0.1:1/").listening() as authority:
        host = Host(edge, authority, tmp_path)
        issued = await asyncio.to_thread(host.issue)
        assert issued.returncode == 0, issued.stdout + issued.stderr
        assert host.told() == ["reload nginx"]
        assert (host.lineage / "fullchain.pem").read_text().count("BEGIN CERTIFICATE") == 2

        # nginx serves it from now on, as installed from certbot's own folder.
        config = edge.folder / "tesserra-auth" / "certificate.conf"
        text = config.read_text().replace(
            str(edge.folder / "cert.pem"), f"{host.lineage}/fullchain.pem"
        )
        config.write_text(text.replace(str(edge.folder / "key.pem"), f"{host.lineage}/privkey.pem"))
        self_signed = _serial(edge)
        os.kill(edge.child.pid, signal.SIGHUP)
        await _changes(edge, self_signed)
        first = _serial(edge)
        # It names a responder: stapling is on, and nginx has taken that.
        assert "ssl_stapling on;" in (edge.folder / "tesserra-auth" / "ocsp.conf").read_text()
        assert "[emerg]" not in edge.errors()

        ended, answers = asyncio.Event(), list[bytes]()

        async def keep_asking() -> None:
            while not ended.is_set():
                answers.append(await asyncio.to_thread(_ask, edge))

        asking = [asyncio.create_task(keep_asking()) for _ in range(LANES)]
        hurry = threading.Event()
        slow = asyncio.create_task(asyncio.to_thread(_upload_slowly, edge, hurry))
        await asyncio.sleep(0.5)
        renewed = await asyncio.to_thread(host.renew)
        assert renewed.returncode == 0, renewed.stdout + renewed.stderr
        assert host.told() == ["reload nginx"] * 2
        await _changes(edge, first)
        assert not slow.done()  # it began before the reload, with a worker that is ending
        hurry.set()
        assert b" 400 " in await slow
        ended.set()
        await asyncio.gather(*asking)
        print(f"{len(answers)} requests while it was renewed")  # noqa: T201
        assert len(answers) > 50
        assert set(answers) == {b"HTTP/1.1 200 OK"}


async def _changes(edge: Perimeter, serial: int) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(_serial, edge) == serial:
            await asyncio.sleep(0.05)


async def test_the_hook_gives_a_service_that_ends_tls_itself_its_copies(
    edge: Perimeter, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    with Authority(edge, tmp_path).listening() as authority:
        host = Host(edge, authority, tmp_path)
        issued = await asyncio.to_thread(host.issue)
        assert issued.returncode == 0, issued.stdout + issued.stderr
        assert host.told() == ["reload nginx", "try-reload-or-restart tesserra-auth"]
        assert not (edge.folder / "tesserra-auth" / "ocsp.conf").exists()  # no responder is named
        copies = {path.name: path for path in (tmp_path / "tls").iterdir()}
        assert set(copies) == {"fullchain.pem", "privkey.pem"}
        assert copies["privkey.pem"].stat().st_mode & 0o777 == 0o640
        assert "BEGIN PRIVATE KEY" in copies["privkey.pem"].read_text()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            copies["fullchain.pem"], copies["privkey.pem"]
        )


@pytest.mark.parametrize("missing", ["TESSERRA_DOMAIN", "TESSERRA_ACME_EMAIL"])
def test_issuing_names_what_is_missing(missing: str) -> None:
    given = {"TESSERRA_DOMAIN": DOMAIN, "TESSERRA_ACME_EMAIL": "root@acme.example", missing: ""}
    done = run(DEPLOY / "certbot" / "issue", env=given)
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert missing in line


def test_the_hook_names_what_is_missing(tmp_path: Path) -> None:
    done = run(DEPLOY / "certbot" / "deploy-hook", env={"RENEWED_LINEAGE": ""})
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode != 0
    assert "RENEWED_LINEAGE" in line
    (tmp_path / DOMAIN).mkdir()
    env = {"RENEWED_LINEAGE": str(tmp_path / DOMAIN), "TESSERRA_DOMAIN": DOMAIN}
    done = run(DEPLOY / "certbot" / "deploy-hook", env=env)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode != 0
    assert "cert.pem is missing" in line


def test_the_scripts_are_clean() -> None:
    done = run(need("shellcheck"), *sorted((DEPLOY / "certbot").iterdir()))
    assert done.returncode == 0, done.stdout
