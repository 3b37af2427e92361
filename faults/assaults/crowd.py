"""A crowd changes its passwords: only sign-in counts who is coming, here the queue itself must.

What it holds is what it can hash in two seconds.  A permit that comes back before its hash is done
lets everybody in, and nobody is told to come again.
"""

import asyncio
import random

from faults.client import Answer, Client
from faults.report import Report
from faults.site import PASSWORD, Device, Site

_CROWD = 600
"""Each is two hashes of 20 ms at least: more than two workers hash in two seconds."""

_AT_ONCE = 20
_NEW = "another canary paperclip"


async def crowd(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Have so many people change their passwords at once, so many times."""
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        people = await _people(site)
        clients = [site.client(report) for _ in people]
        answers = await asyncio.gather(*map(_change, clients, people))
        statuses = [answer.status for answer in answers]
        report.faults["changes of a password at once"] += len(people)
        report.expect("shedding", 503 in statuses, f"nothing was shed of {len(people)}")
        report.expect("shedding", 204 in statuses, "everything was shed")
        report.expect("I6", {*statuses} <= {204, 503}, f"answers: {sorted({*statuses})}")
        changed = await site.count(
            "SELECT count(*) FROM auth_eventos WHERE event_type = 'password.changed'"
            " AND user_id = ANY ($1::uuid[])",
            [one.account.user_id for one in people],
        )
        told = statuses.count(204)
        report.expect("I3", changed == told, f"{told} changes are acknowledged, {changed} done")
        report.rounds += 1
        for client in clients:
            client.close()


async def _people(site: Site) -> list[Device]:
    organization = await site.organization()
    few = asyncio.Semaphore(_AT_ONCE)

    async def one() -> Device:
        async with few:
            return await site.newcomer(organization)

    return await asyncio.gather(*(one() for _ in range(_CROWD)))


async def _change(client: Client, who: Device) -> Answer:
    form = {"current_password": PASSWORD, "new_password": _NEW}
    return await client.ask("PUT", "/auth/password", bearer=who.access_token, json=form)
