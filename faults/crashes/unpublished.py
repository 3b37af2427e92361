"""I5 between a commit and its publishing: a worker killed there, and a commit that comes late.

A decision publishes what it revoked after its commit.  When its worker is killed in between, nobody
is told: the others must find it in the table.  When the commit comes later than the cutoff it
makes, what was issued meanwhile escapes it: the decision must cut off again as it publishes.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from faults.client import Answer, Client
from faults.outages.unannounced import Announcing
from faults.report import Report
from faults.site import Device, Site

_BOUND_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0
_STALL_SECONDS = 2.0
"""Longer than the second that a cutoff lies ahead."""

_ME = "/auth/me"

Ending: TypeAlias = Callable[[Client, Device, Device], Coroutine[None, None, Answer]]
"""Ends what the second device holds, as that person or as the administrator."""


async def _sign_out(asker: Client, _admin: Device, device: Device) -> Answer:
    return await asker.ask("POST", "/auth/logout", cookie=device.refresh_token, json={})


async def _disable(asker: Client, admin: Device, device: Device) -> Answer:
    path = f"/admin/users/{device.account.user_id}/disable"
    return await asker.ask("POST", path, bearer=admin.access_token, json={})


async def _by_hand(asker: Client, admin: Device, device: Device) -> Answer:
    body = {"kind": "sub", "value": str(device.account.user_id)}
    return await asker.ask("POST", "/revocations", bearer=admin.access_token, json=body)


_ENDINGS: tuple[Ending, ...] = (_sign_out, _disable, _by_hand)


async def crash_publishing(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Kill and stall so, so many times, by each way to end in turn."""
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        admin = await site.newcomer(role="owner", platform_admin=True)
        await _kill(site, report, admin, _ENDINGS[number % len(_ENDINGS)])
        report.faults["kill -9 between commit and publishing"] += 1
        await _stall(site, report, admin)
        report.faults["a commit later than its cutoff"] += 1
        report.rounds += 1


async def _kill(site: Site, report: Report, admin: Device, ending: Ending) -> None:
    workers, asker = await site.connection_to_each(report), site.client(report)
    device = await site.newcomer()
    for client in workers:
        good = await client.ask("GET", _ME, bearer=device.access_token)
        report.expect("harness", good.ok, f"not good before: {good.status}")
    announcing = Announcing()
    site.tap.arm(announcing.begins)
    task = asyncio.create_task(ending(asker, admin, device))
    met = await site.tap.reached(1, 5)
    committed = time.monotonic()
    if report.expect("harness", met, "nobody publishes a revocation"):
        moment = site.tap.held[0]
        doomed = site.worker_behind(moment.pair.near_port(), site.to_postgres)
        if report.expect("harness", doomed, "nobody is behind the connection"):
            site.kill_worker(doomed or 0)
        moment.pair.reset()
    site.tap.disarm()
    answer = await task
    report.expect("harness", not answer.ok, "acknowledged, though its worker was killed before")
    for client in workers:  # whose worker is dead is answered by another
        await _until_refused(report, client, device.access_token, committed)
    for client in (*workers, asker):
        client.close()
    report.expect("recovery", await site.all_serve(), "a killed worker was not replaced")


async def _stall(site: Site, report: Report, admin: Device) -> None:
    """Change a role, have its commit wait, and refresh meanwhile."""
    workers, asker, bystander = (
        await site.connection_to_each(report),
        site.client(report),
        site.client(report),
    )
    device = await site.newcomer()
    who, there = device.account.user_id, device.organization.tenant_id
    async with site.rt.pg.decision() as tx:
        await tx.execute("SELECT 1 FROM auth_revocation_head FOR UPDATE")
        changing = asyncio.create_task(
            asker.ask(
                "PUT",
                f"/admin/users/{who}/role?tenant_id={there}",
                bearer=admin.access_token,
                json={"role": "auditor"},
            )
        )
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not changing.done() and not await site.count(waiting):
            await asyncio.sleep(0.01)
        await asyncio.sleep(_STALL_SECONDS)
        refreshed = await bystander.ask(
            "POST", "/auth/refresh", cookie=device.refresh_token, json={}
        )
    report.expect("harness", refreshed.ok, f"no refresh meanwhile: {refreshed.status}")
    answer = await changing
    acknowledged = time.monotonic()
    if report.expect("harness", answer.ok, f"no change of role: {answer.status}"):
        token = device.keep(refreshed).json()["access_token"]
        for client in workers:
            await _until_refused(report, client, token, acknowledged)
    for client in (*workers, asker, bystander):
        client.close()


async def _until_refused(report: Report, client: Client, token: str, since: float) -> None:
    while True:
        asked = time.monotonic()
        answer = await client.ask("GET", _ME, bearer=token)
        late = asked - since
        if answer.status == 401:
            report.worst("s until what nobody told of was known", round(late, 3))
            return
        if answer.ok and late > _BOUND_SECONDS:
            report.violate("I5", f"accepted {late:.2f} s after the commit")
            return
        if late > _PATIENCE_SECONDS:
            report.violate("I6", f"no verdict on a revoked token: {answer.status}")
            return
        await asyncio.sleep(0.01)
