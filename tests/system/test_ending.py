"""Workers and the main process die, in every way and at every moment; TLS and IPv6."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from service.embedded.servers import free_port
from tests.embedded.checkouts import command_line, living, wait_until
from tests.processes import Running, service
from tests.servers import private_postgres
from tests.system.certificates import make_certificate
from tests.system.visitors import UNLIMITED, connection, log_lines, until, visitors, worker_of


async def test_a_killed_worker_is_replaced_and_its_visitors_lose_a_connection_at_most() -> None:
    async with service(workers=2, policy=UNLIMITED) as running, visitors(running, 4) as devices:
        first = set(running.workers())
        ended = asyncio.Event()
        statuses: list[int] = []
        broken = 0

        async def stay() -> None:
            nonlocal broken
            device = devices.pop()
            while not ended.is_set():
                try:
                    statuses.append((await device.refresh()).status_code)
                except httpx2.TransportError:
                    broken += 1
                await asyncio.sleep(0.02)
            await device.client.aclose()

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(stay())
            await asyncio.sleep(0.3)
            victim = await _busiest(running)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: len(set(running.workers()) - {victim}) == 2)
            await until_all_serve(running)
            seen = len(statuses)
            await until(lambda: len(statuses) > seen + 20)
            ended.set()
        assert set(statuses) <= {200, 503}, statuses
        assert statuses[-1] == httpx2.codes.OK
        assert len(first & set(running.workers())) == 1
        assert "Unexpected exit" in str([line.get("error") for line in log_lines(running)])


async def test_a_worker_that_dies_again_at_once_takes_no_other_with_it() -> None:
    """Granian by itself gives up, healthy workers included, within 5.5 s of the first death."""
    async with service(workers=2, policy=UNLIMITED) as running:
        for _ in range(3):
            before = set(running.workers())
            victim = max(before)  # the youngest
            os.kill(victim, signal.SIGKILL)
            await until(lambda gone=victim: len(set(running.workers()) - {gone}) == 2)  # type: ignore[misc]
        assert running.is_running()
        await until_all_serve(running)


async def _busiest(running: Running) -> int:
    """Return the worker of some connection, so that its death is felt."""
    async with connection(running.url) as client:
        return await worker_of(client, running)


async def until_all_serve(running: Running) -> None:
    """Return once every worker has taken a connection."""
    found: set[int] = set()
    deadline = time.monotonic() + 20
    while len(found) < 2:
        assert time.monotonic() < deadline, "a worker takes no connection"
        with contextlib.suppress(httpx2.TransportError):
            found.add(await _busiest(running))


async def test_a_worker_lost_while_postgresql_is_away_takes_its_place_again() -> None:
    with private_postgres() as postgres:
        async with service(workers=2, database_url=postgres.url) as running:
            await until_all_serve(running)  # else it may be the survivor that waits
            survivor, victim = running.workers()
            postgres.kill()
            os.kill(victim, signal.SIGKILL)
            await until(lambda: "worker waits" in running.output())
            async with connection(running.url) as client:
                answer = await client.get("/.well-known/jwks.json")
            assert answer.status_code == httpx2.codes.OK
            postgres.start()
            await until_all_serve(running)
            assert survivor in running.workers()
            await running.ready()
            assert log_lines(running)


@pytest.mark.parametrize("moment", [0.0, 0.4, 0.8])
async def test_told_to_stop_just_after_its_start_it_stops(moment: float) -> None:
    """Seconds after the workers are there: while they load, connect, and begin to serve."""
    async with service(workers=2, wait=False) as running:
        await until(lambda: len(running.workers()) == 2)
        workers = {pid: command_line(pid) for pid in running.workers()}
        await asyncio.sleep(moment)
        began = time.monotonic()
        assert await running.stop() == 0
        assert time.monotonic() - began < 10  # it hears: 15 s is when it would be killed
        assert not living(workers)


async def test_told_to_stop_it_answers_what_it_was_asked() -> None:
    async with service(workers=1, policy=UNLIMITED) as running, visitors(running, 1) as (device,):
        asked = asyncio.create_task(device.sign_in("not the password"))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        stopped = asyncio.create_task(running.stop())
        assert (await asked).status_code == httpx2.codes.UNAUTHORIZED
        assert await stopped == 0
        assert time.monotonic() - began < 20  # workers are given 15 s at most


async def test_told_to_stop_it_lets_every_connection_end_with_an_answer() -> None:
    """A proxy that keeps an idle connection may send a request that it must not send twice."""
    async with service(policy=UNLIMITED) as running, visitors(running, 1) as (device,):
        async with connection(running.url) as stranger:
            assert (await stranger.get("/readyz")).status_code == httpx2.codes.OK
            running.child.send_signal(signal.SIGTERM)
            answer = await stranger.get("/readyz")
            while answer.status_code == httpx2.codes.OK:
                answer = await stranger.get("/readyz")
            assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
            assert answer.headers["connection"] == "close"
            assert answer.headers["retry-after"] == "1"
            answer = await stranger.get("/healthz")  # on a new connection
            assert answer.status_code == httpx2.codes.OK
        answer = await device.me()  # on the old one
        assert answer.status_code == httpx2.codes.OK
        assert answer.headers["connection"] == "close"
        assert await running.stop() == 0


async def test_a_killed_main_process_leaves_no_worker_serving_also_when_asked_something() -> None:
    async with service(workers=2, policy=UNLIMITED) as running, visitors(running, 1) as (device,):
        workers = {pid: command_line(pid) for pid in running.workers()}
        asked = asyncio.create_task(device.sign_in("not the password"))
        await asyncio.sleep(0.02)
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: not living(workers), 5)
        with contextlib.suppress(httpx2.TransportError):
            await asked
        with pytest.raises(httpx2.TransportError):
            await device.client.get("/healthz")


async def test_it_listens_on_ipv6_and_leaves_a_taken_port_alone() -> None:
    """Also when the other one is a service of ours, whose workers share their port."""
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    env = {"AUTH_BIND": f"[::1]:{free_port()}"}
    async with service(env=env) as first:
        async with httpx2.AsyncClient(base_url=first.url) as client:
            assert (await client.get("/healthz")).status_code == httpx2.codes.OK
        assert {line.get("client.address") for line in log_lines(first)} >= {"::1"}
        async with service(wait=False, env=env) as second:
            assert "AUTH_BIND" in _refusal(second)


async def test_with_a_certificate_it_speaks_tls_1_2_and_newer_and_nothing_else(
    tmp_path: Path,
) -> None:
    env = make_certificate(tmp_path)
    async with service(wait=False, env=env) as running:
        host, port = running.environment["AUTH_BIND"].split(":")
        await until(lambda: _shakes_hands(host, int(port), env, ssl.TLSVersion.TLSv1_3))
        assert _shakes_hands(host, int(port), env, ssl.TLSVersion.TLSv1_2)
        assert not _shakes_hands(host, int(port), env, ssl.TLSVersion.TLSv1_1)
        trusted = ssl.create_default_context(cafile=env["AUTH_TLS_CERT"])
        async with httpx2.AsyncClient(verify=trusted) as client:
            assert (await client.get(f"https://localhost:{port}/readyz")).status_code == 200
            with pytest.raises(httpx2.TransportError):
                await client.get(f"http://localhost:{port}/readyz")


async def test_a_bad_certificate_refuses_to_start_with_one_line(tmp_path: Path) -> None:
    env = make_certificate(tmp_path)
    (tmp_path / "key.pem").write_text("a-value-of-its-own")
    async with service(wait=False, env=env) as running:
        line = _refusal(running)
        assert "AUTH_TLS_KEY" in line
        assert "a-value-of-its-own" not in line


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def _shakes_hands(host: str, port: int, env: dict[str, str], version: ssl.TLSVersion) -> bool:
    """Tell whether the service agrees on exactly this version."""
    if version < ssl.TLSVersion.TLSv1_2:
        return _offers_old(host, port)
    context = ssl.create_default_context(cafile=env["AUTH_TLS_CERT"])
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except OSError:
        return False


def _offers_old(host: str, port: int) -> bool:
    """Ask with openssl: Python does not speak versions this old."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to speak TLS 1.1 with")
    arguments = ["s_client", "-connect", f"{host}:{port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(
        [openssl, *arguments], input=b"", capture_output=True, check=False, timeout=10
    )
    return b"Cipher is (NONE)" not in done.stdout


def _refusal(running: Running) -> str:
    wait_until(lambda: not running.is_running(), 20)
    assert not running.is_running()
    assert running.child.returncode == 1
    (line,) = running.output().strip().splitlines()
    return line
