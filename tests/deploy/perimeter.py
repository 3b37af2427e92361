"""nginx as deploy/nginx makes it, live: only ports and the certificate's place are the test's own.

Beside its own listener there is one that takes the PROXY protocol from the test, so that a test can
come from any address: what is limited by address is then limited for that one alone.
"""

import asyncio
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.embedded.servers import free_port
from tests.deploy.programs import DEPLOY, need
from tests.system.certificates import make_certificate

DOMAIN = "localhost"

_MAIN = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log {folder}/default.log;  # Debian's own: whole first lines
    include tesserra-auth-http.conf;
    include tesserra-auth.conf;
}}
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Return the only value of a header."""
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass
class Perimeter:
    """A running nginx."""

    folder: Path
    https: int
    proxied: int
    http: int
    child: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def authority(self) -> Path:
        """The certificate to trust."""
        return self.folder / "cert.pem"

    def log(self) -> list[dict[str, Any]]:
        """Return the access log."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def errors(self) -> str:
        """Return the error log."""
        return (self.folder / "error.log").read_text()

    @contextmanager
    def wire(self, address: str = "203.0.113.1") -> Iterator["Wire"]:
        """Open a TLS connection that comes from this address."""
        plain = socket.create_connection(("127.0.0.1", self.proxied), timeout=30)
        family, here = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
        plain.sendall(f"PROXY {family} {address} {here} 40000 443\r\n".encode())
        context = ssl.create_default_context(cafile=self.authority)
        with plain, context.wrap_socket(plain, server_hostname=DOMAIN) as secure:
            yield Wire(secure)

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        address: str = "203.0.113.1",
    ) -> Answer:
        """Ask once, on a connection of its own."""
        with self.wire(address) as wire:
            return wire.ask(method, target, body, headers)


class Wire:
    """One connection."""

    def __init__(self, secure: ssl.SSLSocket) -> None:
        self.socket = secure

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", f"Host: {DOMAIN}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return self.send("\r\n".join([*lines, "", ""]).encode() + content, method)

    def send(self, raw: bytes, method: str = "GET") -> Answer:
        """Send bytes as they are and read an answer."""
        self.socket.sendall(raw)
        return self.read(method)

    def read(self, method: str = "GET") -> Answer:
        """Read an answer."""
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        return Answer(answer.status, answer.getheaders(), answer.read())


@contextmanager
def rendered(
    upstreams: Iterable[str], changes: Iterable[tuple[str, str]] = ()
) -> Iterator[tuple[Path, dict[str, int]]]:
    """Lay nginx's files out in a folder; `changes` are texts to replace, each of which must occur.

    The folder lies where nginx's workers, who are somebody else, can reach it.
    """
    folder = Path(tempfile.mkdtemp(prefix="tesserra-nginx-"))
    folder.chmod(0o755)
    ports = {name: free_port() for name in ("https", "proxied", "http")}
    try:
        make_certificate(folder)
        shutil.copytree(DEPLOY / "nginx", folder, dirs_exist_ok=True)
        instances = folder / "tesserra-auth" / "upstream.conf"
        shipped = instances.read_text()
        assert "server 127.0.0.1:8080" in shipped
        instances.write_text("".join(shipped.replace("127.0.0.1:8080", w) for w in upstreams))
        for path in [*folder.glob("*.conf"), *folder.glob("tesserra-auth/*.conf")]:
            path.write_text(_as_here(path.read_text(), folder, ports))
        for old, new in changes:
            hits = [p for p in folder.rglob("*.conf") if old in p.read_text()]
            assert hits, old
            for path in hits:
                path.write_text(path.read_text().replace(old, new))
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
        yield folder, ports
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_here(text: str, folder: Path, ports: Mapping[str, int]) -> str:
    text = text.replace("${TESSERRA_DOMAIN}", DOMAIN)
    text = text.replace("${TESSERRA_ORIGIN}", f"https://{DOMAIN}")
    text = text.replace(f"/etc/letsencrypt/live/{DOMAIN}/fullchain.pem", str(folder / "cert.pem"))
    text = text.replace(f"/etc/letsencrypt/live/{DOMAIN}/privkey.pem", str(folder / "key.pem"))
    text = text.replace("/var/log/nginx/tesserra-auth.log", str(folder / "access.log"))
    text = text.replace("/var/log/nginx/tesserra-auth-error.log", str(folder / "server-error.log"))
    text = text.replace("/var/lib/tesserra-acme", str(folder / "acme"))
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"listen 80\b", f"listen 127.0.0.1:{ports['http']}", text)
    ours = f"listen 127.0.0.1:{ports['https']}\\1;\n    listen 127.0.0.1:{ports['proxied']}\\1"
    real = "    set_real_ip_from 127.0.0.1;\n    real_ip_header proxy_protocol;\n"
    return re.sub(r"listen 443( ssl[^;]*);\n", f"{ours} proxy_protocol;\n{real}", text)


@asynccontextmanager
async def perimeter(
    *upstreams: str, changes: Iterable[tuple[str, str]] = ()
) -> AsyncIterator[Perimeter]:
    """Start nginx in front of these; it is stopped on the way out."""
    nginx = need("nginx")
    with rendered(upstreams, changes) as (folder, ports):
        child = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"],
            stdin=subprocess.DEVNULL,
        )
        running = Perimeter(folder, ports["https"], ports["proxied"], ports["http"], child)
        try:
            await _listening(running)
            yield running
        finally:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()
            child.wait()


async def _listening(running: Perimeter) -> None:
    async with asyncio.timeout(20):
        while True:
            assert running.child.poll() is None, running.errors()
            try:
                socket.create_connection(("127.0.0.1", running.https), timeout=1).close()
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
