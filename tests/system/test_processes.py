"""`python -m service serve` as a process: it answers, it stops, it leaves nothing."""

import os
import signal

import httpx2
import pytest

from tests.embedded.checkouts import command_line, living, wait_until
from tests.processes import service


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
        ("AUTH_MASTER_KEYS", "bm90IHRoZSBrZXkgdGhhdCBzZWFsZWQgaXQsIG5vdGE="),
        ("AUTH_TYPO", "x"),
        ("AUTH_POLICY_FILE", "/nowhere/policy.toml"),
    ],
)
async def test_a_wrong_setting_refuses_to_start_with_one_line(variable: str, value: str) -> None:
    async with service(wait=False, env={variable: value}) as running:
        wait_until(lambda: not running.is_running(), 20)
        assert not running.is_running()
        assert running.child.returncode != 0
        lines = running.output().strip().splitlines()
        assert len(lines) == 1, lines
        assert value not in lines[0]
