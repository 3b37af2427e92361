"""A service that ends TLS itself: HTTP/2, and a certificate that is replaced while it serves."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from service.kernel.connections import SILENT_SECONDS
from tests.deploy.programs import need, run
from tests.processes import Running, service
from tests.system.certificates import make_certificate
from tests.system.visitors import until

REPLACED_WITHIN = 30
LANES = 4
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""RFC 9113 section 3.4, with settings that set nothing."""


@asynccontextmanager
async def ending_tls(folder: Path, workers: int = 1) -> AsyncIterator[tuple[Running, int]]:
    """Yield the service and its port."""
    env = make_certificate(folder)
    async with service(wait=False, env=env, workers=workers) as running:
        port = int(running.environment["AUTH_BIND"].split(":")[1])
        await until(lambda: _answers(port), 30)
        yield running, port


def _answers(port: int) -> bool:
    try:
        return _ask(port) == http.client.OK
    except OSError:
        return False


def _ask(port: int) -> int:
    """Ask on a connection of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wire = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    with closing(wire):
        wire.request("GET", "/.well-known/jwks.json")
        answer = wire.getresponse()
        answer.read()
        return answer.status


def _served(port: int) -> bytes:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return pem.strip().encode()


async def test_http_2_is_negotiated_and_served(tmp_path: Path) -> None:
    async with ending_tls(tmp_path) as (_, port):
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        context.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.selected_alpn_protocol() == "h2"
        curl = need("curl")
        if "HTTP2" not in run(curl, "--version").stdout:
            pytest.skip("this curl does not speak HTTP/2")
        for flag, version in (("--http2", "2"), ("--http1.1", "1.1")):
            told = run(
                curl,
                *("-sS", flag, "--cacert", tmp_path / "cert.pem", "-o", os.devnull),
                *("-w", "%{http_version} %{http_code}", f"https://localhost:{port}/readyz"),
            )
            assert told.stdout == f"{version} 200", told.stderr


async def test_a_new_certificate_is_served_and_nobody_notices(tmp_path: Path) -> None:
    async with ending_tls(tmp_path, workers=2) as (running, port):
        before, old = _served(port), running.workers()
        ended = asyncio.Event()
        failed: list[str] = []
        done = 0

        async def keep_asking() -> None:
            nonlocal done
            while not ended.is_set():
                try:
                    status = await asyncio.to_thread(_ask, port)
                    if status != http.client.OK:
                        failed.append(str(status))
                except OSError as exc:
                    failed.append(repr(exc))
                done += 1

        asking = [asyncio.create_task(keep_asking()) for _ in range(LANES)]
        await asyncio.sleep(0.5)
        make_certificate(tmp_path)
        began = time.monotonic()
        os.kill(running.pid, signal.SIGHUP)
        await until(lambda: not set(old) & set(running.workers()), REPLACED_WITHIN)
        took = time.monotonic() - began
        await asyncio.sleep(0.5)
        ended.set()
        await asyncio.gather(*asking)
        print(f"{done} requests, {len(failed)} failed, replaced in {took:.1f} s")  # noqa: T201
        assert done > 200
        assert failed == []
        assert _served(port) != before
        assert _served(port) == (tmp_path / "cert.pem").read_bytes().strip()


async def test_a_key_in_another_form_is_refused_by_name(tmp_path: Path) -> None:
    env = make_certificate(tmp_path)
    key = run(need("openssl"), "ec", "-in", tmp_path / "key.pem")
    (tmp_path / "key.pem").write_text(key.stdout)
    async with service(wait=False, env=env) as running:
        await until(lambda: not running.is_running(), 20)
        (line,) = running.output().strip().splitlines()
        assert "AUTH_TLS_KEY" in line
        assert "PKCS#8" in line


async def test_a_certificate_that_cannot_be_used_does_not_replace_one_that_can(
    tmp_path: Path,
) -> None:
    async with ending_tls(tmp_path) as (running, port):
        before, old = _served(port), running.workers()
        (tmp_path / "key.pem").write_text("half a ke")
        os.kill(running.pid, signal.SIGHUP)
        await until(lambda: "the certificate is not renewed" in running.output(), 10)
        assert "half a ke" not in running.output()
        await until(lambda: not set(old) & set(running.workers()), REPLACED_WITHIN)
        await until(lambda: _answers(port), 10)
        assert _served(port) == before


async def test_who_says_nothing_is_not_waited_for_without_end(tmp_path: Path) -> None:
    async with ending_tls(tmp_path) as (_, port):
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        context.set_alpn_protocols(["h2"])

        async def silent_after(said: bytes) -> float:
            plain = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 60)
            with plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(said)
                began = time.monotonic()
                await asyncio.to_thread(_read_to_the_end, secure)
                return time.monotonic() - began

        for seconds in await asyncio.gather(silent_after(b""), silent_after(H2_PREFACE)):
            assert SILENT_SECONDS - 1 < seconds < SILENT_SECONDS + 10
        assert _answers(port)


def _read_to_the_end(secure: ssl.SSLSocket) -> None:
    with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
        while secure.recv(4096):
            pass
