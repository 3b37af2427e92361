"""`python -m service serve` as a process: it answers, it stops, it leaves nothing."""

import base64
import os
import signal

import httpx2
import pytest

from tests.embedded.checkouts import command_line, living, wait_until
from tests.processes import Running, service


async def test_two_workers_answer_and_a_signal_ends_them_all() -> None:
    async with service(workers=2) as running:
        family = {pid: command_line(pid) for pid in [running.pid, *running.workers()]}
        assert len(family) == 3
        async with httpx2.AsyncClient(base_url=running.url) as client:
            assert (await client.get("/healthz")).status_code == httpx2.codes.OK
        assert await running.stop() == 0
        assert not living(family)


async def test_workers_do_not_outlive_a_killed_main_process() -> None:
    async with service(workers=2) as running:
        workers = {pid: command_line(pid) for pid in running.workers()}
        assert len(workers) == 2
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not living(workers), 10)
        assert not living(workers)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTH_DATABASE_URL", "postgresql://nobody:wrong@127.0.0.1:1/none"),
        ("AUTH_TYPO", "a-value-of-its-own"),
        ("AUTH_ISSUER", "http://example.test"),
    ],
)
async def test_a_wrong_setting_refuses_to_start_with_one_line(variable: str, value: str) -> None:
    async with service(wait=False, env={variable: value}) as running:
        line = _refusal(running)
        assert variable in line
        assert value not in line


async def test_a_wrong_master_key_refuses_to_start_with_one_line() -> None:
    async with service() as first:
        another = base64.urlsafe_b64encode(b"another" * 4 + b"key.").decode()
        env = {"AUTH_MASTER_KEYS": another}
        async with service(wait=False, env=env, database_url=first.database_url) as second:
            line = _refusal(second)
            assert "AUTH_MASTER_KEYS" in line or "master key" in line
            assert another not in line


def _refusal(running: Running) -> str:
    wait_until(lambda: not running.is_running(), 20)
    assert not running.is_running()
    assert running.child.returncode != 0
    (line,) = running.output().strip().splitlines()
    return line
