"""More sign-ins than the processors can hash."""

import asyncio
import contextlib
import os
import time
from collections import Counter
from pathlib import Path

import httpx2

from tests.processes import service
from tests.system.visitors import UNLIMITED, Visitor, connection, log_lines, visitors

BURST = 120
SLOW_HASHES = UNLIMITED + "[hashing]\nmemory_kib = 19456\npasses = 8\n"
"""Four times the work, so that a burst of this size fills the queue on any machine."""


async def test_sign_ins_beyond_the_queue_are_shed_and_all_else_stays_quick() -> None:
    async with (
        service(workers=1, policy=SLOW_HASHES) as running,
        visitors(running, 1) as (device,),
        contextlib.AsyncExitStack() as stack,
    ):
        (worker,) = running.workers()
        crowd = [
            Visitor(
                running.url,
                device.person,
                client=await stack.enter_async_context(connection(running.url)),
            )
            for _ in range(BURST)
        ]
        await asyncio.gather(*(visitor.client.get("/healthz") for visitor in crowd))
        at_rest = _resident(worker)
        burst = asyncio.gather(*(visitor.sign_in("not the password") for visitor in crowd))
        waits: dict[str, list[float]] = {"refresh": [], "keys": []}
        most = at_rest
        keys = await stack.enter_async_context(connection(running.url))
        while not burst.done():
            began = time.monotonic()
            assert (await device.refresh()).status_code == httpx2.codes.OK
            between = time.monotonic()
            assert (await keys.get("/.well-known/jwks.json")).status_code == httpx2.codes.OK
            waits["refresh"].append(between - began)
            waits["keys"].append(time.monotonic() - between)
            most = max(most, _resident(worker))
            await asyncio.sleep(0.02)
        answers = Counter(answer.status_code for answer in await burst)
        shed = [a for a in await burst if a.status_code == httpx2.codes.SERVICE_UNAVAILABLE]
        typical = {act: sorted(seen)[len(seen) // 2] for act, seen in waits.items()}
        print(f"{answers}; {typical}; {(most - at_rest) / 2**20:.0f} MiB more")  # noqa: T201

        assert set(answers) == {401, 503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in shed)
        assert typical["refresh"] < 0.25
        assert typical["keys"] < 0.1
        # A permit's 19 MiB each, and what some hundred open requests take.
        assert most - at_rest < ((os.cpu_count() or 1) * 19 + 40) * 2**20
        assert (await crowd[0].sign_in()).status_code in (200, 401)  # five wrong guesses lock
        assert {line["http.response.status_code"] for line in log_lines(running)} <= {200, 401, 503}


def _resident(pid: int) -> int:
    """Return the bytes of memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
