"""Run the machine in a thread of its own, beside the loop that talks to the service."""

import asyncio
import random
import time

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from faults.model.machine import Ports, machine
from faults.report import Report
from faults.site import HASTY_SECONDS, Device, Site

STEPS = 50
_TOKEN_SECONDS = 600.0
_WALKERS = 4
"""Sequences under way at once, each in houses of its own: most of a step is waiting."""

_WALK = 25
_TRIES = 5


async def follow_model(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Walk so many sequences.  A failure is not made smaller: that would take as many again."""
    admin = await site.newcomer(role="owner", platform_admin=True)
    await _grace_ends(site, report)
    left, began = rounds, 0.0
    while left > 0 and not report.violations:
        if time.monotonic() - began > _TOKEN_SECONDS:
            began = time.monotonic()
            admin = await site.newcomer(role="owner", platform_admin=True)
        report.progress(f"{rounds - left} of {rounds} sequences of {STEPS} steps")
        walkers = min(_WALKERS, left)
        each = min(left // walkers, _WALK)
        await asyncio.gather(
            *(
                _walk_beside(site, report, admin, dice.randrange(2**32), each)
                for _ in range(walkers)
            )
        )
        left -= each * walkers
        report.rounds += each * walkers
    report.whole = left <= 0


async def _walk_beside(site: Site, report: Report, admin: Device, seed: int, count: int) -> None:
    workers = await site.connection_to_each(report)
    checker = await site.machine("api-keys:verify")
    ports = Ports(site, report, asyncio.get_running_loop(), workers, admin, checker)
    await asyncio.to_thread(_walk, ports, seed, count)
    for client in workers:
        client.close()


async def _grace_ends(site: Site, report: Report) -> None:
    """A retry is forgiven within the grace of an organization, and not after it."""
    client = site.client(report)
    for late, status in ((False, 200), (True, 401)):
        device = await site.newcomer(await site.hasty())
        token = device.refresh_token
        began = time.monotonic()
        answer = await client.ask("POST", "/auth/refresh", cookie=token, json={})
        report.expect("harness", answer.ok, f"a refresh: {answer.status}")
        await asyncio.sleep(1.4 if late else 0)
        answer = await client.ask("POST", "/auth/refresh", cookie=token, json={})
        if not late and time.monotonic() - began > HASTY_SECONDS:
            continue  # of so slow a machine nobody can tell
        told = f"a retry {'after' if late else 'within'} the grace: {answer.status}"
        report.expect("I2", answer.status == status, told)
    client.close()


def _walk(ports: Ports, seed: int, count: int, tries: int = _TRIES) -> None:
    house = hypothesis.seed(seed)(machine(ports))
    try:
        run_state_machine_as_test(
            house,
            _min_steps=STEPS,
            settings=settings(
                max_examples=count,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                verbosity=hypothesis.Verbosity.quiet,
                print_blob=False,
            ),
        )
    except SystemError:
        # CPython 3.11 counts the depth of its parser for all threads together (gh-106905), and
        # hypothesis parses: nothing was said of the service, so it is walked again.
        if tries == 1:
            raise
        _walk(ports, seed, count, tries - 1)
    except Exception as exc:  # noqa: BLE001 - hypothesis raises what it likes
        # Played again to be reported, a race need not end the same way: what was noted counts.
        if not ports.report.violations:
            ports.report.violate("harness", f"{type(exc).__name__}: {exc}"[:3000])
