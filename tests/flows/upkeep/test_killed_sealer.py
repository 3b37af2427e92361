"""kill -9 of the sealer at any moment: another continues; no gap, no double."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.domain import audit
from service.domain.audit import events
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime
from service.settings import Settings
from tests.cli.shell import environment
from tests.flows.upkeep.trails import a_tenant, checked, seal_all

Made = Callable[..., Call]
ROUNDS = 6


@asynccontextmanager
async def sealer(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start one, wait until it seals, and kill it on the way out."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "tests.flows.upkeep.sealing_process",
        env=environment(settings, {}),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        while await asyncio.wait_for(process.stdout.readline(), 30) != b"sealing\n":
            assert process.returncode is None
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def write(rt: Runtime, call: Made, tenants: list[TenantId], count: int) -> None:
    for number in range(count):
        async with rt.pg.decision() as tx:
            for tenant in (*tenants, None):
                event = events.SignInFailed(tenant_id=tenant, why="unknown")
                await audit.record(tx, call(request_id=f"n{number}"), event)


async def sealed(rt: Runtime) -> int:
    async with rt.pg.reading() as tx:
        found: int = await tx.fetchval("SELECT count(*) FROM auth_event_seals")
    return found


async def test_killed_at_any_moment_it_leaves_no_gap_and_no_double(
    rt: Runtime, call: Made, settings: Settings
) -> None:
    tenants, dice = [a_tenant(rt) for _ in range(3)], random.Random()
    for _ in range(ROUNDS):
        before = await sealed(rt)
        async with sealer(settings):
            writer = asyncio.create_task(write(rt, call, tenants, 150))
            while await sealed(rt) == before and not writer.done():
                await asyncio.sleep(0)
            await asyncio.sleep(dice.random() / 5)  # somewhere in the middle of its work
        await writer
    assert await sealed(rt) > 0
    await seal_all(rt)
    result = await checked(rt)
    assert (result.events, result.findings) == (ROUNDS * 150 * 4, [])
    async with rt.pg.reading() as tx:
        rows = await tx.fetch(
            "SELECT chain_id, count(*) AS seals, count(DISTINCT event_id) AS events,"
            " max(position) AS last FROM auth_event_seals GROUP BY chain_id"
        )
    assert len(rows) == 4
    assert {(row["seals"], row["events"], row["last"]) for row in rows} == {(ROUNDS * 150,) * 3}
