"""I5 where nothing is left to tell of a revocation but the table, and that is gone.

PostgreSQL dies between the answer to a sign-out's COMMIT and the look with which its worker learns
of it: the sign-out is acknowledged, no memory has it, Valkey does not have it.
"""

import asyncio
import time
from contextlib import suppress

from faults.client import Client
from faults.proxy import Moment, Pair
from faults.report import Report
from faults.site import Device, Site
from service.kernel.refusal import Refused

_BOUND_SECONDS = 1.0
_GONE_SECONDS = 2.5


async def lose_announcements(site: Site, report: Report, rounds: int) -> None:
    """Sign out so, so many times, and try the token while PostgreSQL is gone."""
    for number in range(rounds):
        report.progress(f"sign-outs that nobody hears of: {number} of {rounds}")
        await _lose_one(site, report)
        report.faults["PostgreSQL gone before a revocation is announced"] += 1
        report.rounds += 1


async def _lose_one(site: Site, report: Report) -> None:
    workers, asker = await site.connection_to_each(report), site.client(report)
    device = await site.newcomer()
    await asyncio.sleep(_BOUND_SECONDS)  # whatever else there was to tell is told
    for client in workers:  # a worker that knows them needs no PostgreSQL to take their token
        await client.ask("GET", "/auth/me", bearer=device.access_token)
    announcing = Announcing()
    site.tap.arm(announcing.begins)
    leaving = asker.ask("POST", "/auth/logout", cookie=device.refresh_token, json={})
    task = asyncio.create_task(leaving)
    met = await site.tap.reached(1, 5)
    report.expect("harness", met, "nobody announces a revocation")
    site.postgres.kill()
    for moment in site.tap.held:
        moment.pair.reset()
    site.tap.disarm()
    if (await task).ok:
        await _try_for(_GONE_SECONDS, report, workers, device)
    site.postgres.start()
    for client in (*workers, asker):
        client.close()
    await _all_is_well(site)


async def _try_for(seconds: float, report: Report, workers: list[Client], device: Device) -> None:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for client in workers:
            late = time.monotonic() - began
            answer = await client.ask("GET", "/auth/me", bearer=device.access_token)
            if answer.ok:
                report.worst("s until an unannounced revocation was known", round(late, 2))
            good = not answer.ok or late <= _BOUND_SECONDS
            report.expect("I5", good, "a token is accepted a second after its sign-out")
        await asyncio.sleep(0.05)


async def _all_is_well(site: Site) -> None:
    await site.all_serve()
    while True:
        with suppress(Refused):
            await site.newcomer()
            return
        await asyncio.sleep(0.05)


class Announcing:
    """Knows on which connection a revocation was committed last: the next look is its news."""

    def __init__(self) -> None:
        self._committed: set[Pair] = set()

    def begins(self, moment: Moment) -> bool:
        """Whether a worker is about to look at what it has just revoked."""
        if moment.point == "done":
            ends = moment.statement == "COMMIT" and moment.did("INSERT INTO auth_revocations")
            (self._committed.add if ends else self._committed.discard)(moment.pair)
        looks = moment.point == "begin" and "FROM auth_revocation_head" in moment.statement
        return looks and moment.pair in self._committed
