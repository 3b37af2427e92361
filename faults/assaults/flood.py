"""I10, and shedding: a flood of sign-ins that hang up costs neither memory nor everybody's time."""

import asyncio
import random
import time

import msgspec

from faults.client import Client
from faults.invariants import MemoryWatch
from faults.report import Report
from faults.site import PASSWORD, Site

_FLOOD = 1000
_PATIENCE_SECONDS = 10.0
"""The queue of two seconds, the hash itself, and a busy machine."""


async def flood(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Send more sign-ins than can be hashed; half hang up at once.  Others must not notice much."""
    watch = MemoryWatch(report, site.running.workers)
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        before = report.statuses[503]
        device = await site.newcomer()
        people = [await site.newcomer() for _ in range(8)]
        waiting = [site.client(report) for _ in range(_FLOOD)]
        bystander = site.client(report)
        async with watch.watching():
            tasks = [
                asyncio.create_task(_ask(report, client, people[n % 8].account.email, n))
                for n, client in enumerate(waiting)
            ]
            await asyncio.sleep(0.2)
            slowest = 0.0
            while not all(task.done() for task in tasks):
                began = time.monotonic()
                answer = device.keep(
                    await bystander.ask(
                        "POST", "/auth/refresh", cookie=device.refresh_token, json={}
                    )
                )
                slowest = max(slowest, time.monotonic() - began)
                report.expect("I7", answer.ok or answer.unknown, f"refresh: {answer.status}")
                await asyncio.sleep(0.02)
            took = [seconds for seconds in await asyncio.gather(*tasks) if seconds]
            report.worst("s for a refresh in a flood of sign-ins", round(slowest, 3))
            report.worst("s for an answer to a sign-in in a flood", round(max(took), 3))
            late = max(took)
            report.expect("shedding", late < _PATIENCE_SECONDS, f"a sign-in waited {late:.1f} s")
        report.faults["sign-ins in a flood"] += _FLOOD
        report.rounds += 1
        for client in (*waiting, bystander):
            client.close()
        shed = report.statuses[503] - before
        report.expect("shedding", shed, "nothing was shed of so many")


async def _ask(report: Report, client: Client, email: str, number: int) -> float:
    """Sign in; every second one hangs up.  Return how long it took, 0 for who hung up."""
    form = {"email": email, "password": PASSWORD}
    began = time.monotonic()
    if number % 2:
        body = msgspec.json.encode(form)
        asked = (
            "POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"x-forwarded-for: {client.address}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        task = asyncio.create_task(client.send(asked.encode() + body))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        report.requests += 1
        return 0.0
    await client.ask("POST", "/auth/login", json=form)
    return time.monotonic() - began
