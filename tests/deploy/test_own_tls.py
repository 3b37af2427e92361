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

from service.kernel.silent import SILENT_SECONDS
from tests.deploy.programs import need, run
from tests.processes import Running, service
from tests.system.certificates import make_certificate
from tests.system.visitors import until

PATIENCE = 10.0
"""Seconds that a body may take."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
DATA, HEADERS = 0, 1
GET, POST, HTTPS = b"\x82", b"\x83", b"\x87"
STATUS = {
    b"\x88": 200,
    b"\x8d": 404,
    b"\x48\x83\x68\x0f\x7f": 408,
}
"""How a header block says it (RFC 7541, appendices A and B)."""
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


@pytest.mark.parametrize("drop", [b"", b" "], ids=["nothing", "drops"])
async def test_a_body_over_http_2_that_does_not_come_is_not_waited_for_without_end(
    tmp_path: Path, drop: bytes
) -> None:
    """HTTP/2 does not announce a body: none of these has a Content-Length."""
    async with ending_tls(tmp_path) as (_, port):
        told = await asyncio.gather(
            _slowly(port, "/api-keys/verify", JSON, drop),
            _slowly(port, "/oauth/token", FORM, drop),
            _slowly(port, "/auth/login", JSON, drop),
            _slowly(port, "/nowhere", JSON, drop),
        )
    *slow, nowhere = told
    for status, took in slow:
        assert status == 408
        assert PATIENCE - 0.5 < took < PATIENCE + 5
    assert nowhere[0] == 404
    assert nowhere[1] < PATIENCE - 0.5, "nobody wants this body, so nobody waits for it"


async def test_a_body_over_http_2_that_nobody_wants_is_read_and_ignored(tmp_path: Path) -> None:
    async with ending_tls(tmp_path) as (_, port):
        for path, size, expected in (
            ("/readyz", 0, 200),
            ("/readyz", 9, 200),
            ("/nowhere", 9, 404),
            ("/.well-known/jwks.json", 60_000, 200),
        ):
            async with _stream(port, GET, path, JSON) as (answer, writer):
                for begin in range(0, size, 10_000):
                    writer.write(_frame(DATA, 0, b"x" * min(10_000, size - begin)))
                writer.write(_frame(DATA, 1, b""))
                assert await asyncio.wait_for(answer, 30) == expected, (path, size)


async def _slowly(port: int, path: str, kind: str, drop: bytes) -> tuple[int, float]:
    """Send drops of a body until there is an answer; return its status and the seconds it took."""
    async with _stream(port, POST, path, kind) as (answer, writer):
        began = time.monotonic()
        while not answer.done() and time.monotonic() - began < PATIENCE + 10:
            if drop:
                writer.write(_frame(DATA, 0, drop))
            await asyncio.wait({answer}, timeout=0.5)
        return await asyncio.wait_for(answer, 0.1), time.monotonic() - began


@asynccontextmanager
async def _stream(
    port: int, method: bytes, path: str, kind: str
) -> AsyncIterator[tuple["asyncio.Task[int]", asyncio.StreamWriter]]:
    """Begin a request over HTTP/2 without Content-Length; yield its answer's status to come."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    named = ((b"\x04", path), (b"\x01", "localhost"), (b"\x0f\x10", kind))
    block = b"".join(name + bytes([len(value)]) + value.encode() for name, value in named)
    writer.write(H2_PREFACE + _frame(HEADERS, 4, method + HTTPS + block))
    answer = asyncio.create_task(_status(reader))
    try:
        yield answer, writer
    finally:
        answer.cancel()
        writer.transport.abort()


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    """Return a frame of the first stream (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + payload


async def _status(reader: asyncio.StreamReader) -> int:
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == HEADERS:
            return next(one for said, one in STATUS.items() if payload.startswith(said))


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
