"""Crashes of what runs in the background, or from the command line: sealing and master keys."""

import asyncio
import base64
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable

from faults.crashes.rounds import SAMPLE, recover
from faults.proxy import Moment, Point
from faults.report import Report
from faults.site import Site
from service import settings as deployment
from service.flows.upkeep.verify_trail import verify_trail
from service.runtime import open_runtime

_SEALS = "auth_event_seals"
_RESEALS = ("UPDATE auth_root", "UPDATE auth_signing_keys", "UPDATE auth_secret_versions")
_POINTS: tuple[Point, ...] = ("inside", "commit", "done")


async def crash_sealing(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Kill whoever seals the trail, at each point; at the end the chain must be whole."""
    for point in _POINTS:
        for number in range(rounds):
            report.progress(f"sealing, {point}: {number} of {rounds}")
            await site.newcomer()  # leaves events to seal
            site.tap.arm(_sealing(point))
            if not await site.tap.reached(1, 15):
                site.tap.disarm()
                report.violate("harness", f"nobody seals: {point}")
                break
            moment = site.tap.held[0]
            pid = site.worker_behind(moment.pair.near_port(), site.to_postgres)
            by_worker = pid is not None and dice.random() < 0.5
            if by_worker:
                site.kill_worker(pid or 0)
            else:
                site.postgres.kill()
            moment.pair.reset()
            site.tap.disarm()
            await recover(site, report, "a worker" if by_worker else "PostgreSQL")
            report.faults[f"kill -9 at {point} of sealing"] += 1
            report.rounds += 1
    await _trail_is_whole(site, report)


def _sealing(point: Point) -> Callable[[Moment], bool]:
    def wanted(moment: Moment) -> bool:
        if moment.point != point:
            return False
        if point == "inside":
            return f"INSERT INTO {_SEALS}" in moment.statement
        return moment.statement == "COMMIT" and moment.did(f"INSERT INTO {_SEALS}")

    return wanted


async def _trail_is_whole(site: Site, report: Report) -> None:
    results = await verify_trail(site.rt)
    for result in results:
        for finding in result.findings[:5]:
            report.violate("I3", f"the trail: {finding}")
    report.figures["events verified"] = sum(result.events for result in results)


async def crash_master_rotation(
    site: Site, report: Report, dice: random.Random, rounds: int
) -> None:
    """Kill `secret rotate-master` at each point; finished at last, the new key alone opens all."""
    who = await site.newcomer(role="owner")
    client = site.client(report)
    put = await client.ask(
        "PUT", "/admin/secrets/faults", bearer=who.access_token, json={"value": "canary of a vault"}
    )
    report.expect("harness", put.ok, f"a secret could not be put: {put.status}")
    before = site.environment["AUTH_MASTER_KEYS"]
    for point in _POINTS if rounds > SAMPLE else (dice.choice(_POINTS),):
        for number in range(rounds):
            report.progress(f"master-key rotation, {point}: {number} of {rounds}")
            fresh = base64.urlsafe_b64encode(os.urandom(32)).decode()
            environment = {**site.environment, "AUTH_MASTER_KEYS": f"{fresh},{before}"}
            words = _RESEALS[number % 2]
            site.tap.arm(_resealing(point, words))
            command = await _rotate(environment)
            met = await site.tap.reached(1, 30)
            report.expect("harness", met, f"rotate-master never came to {point}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(command.pid, signal.SIGKILL)
            for moment in site.tap.held:
                moment.pair.reset()
            site.tap.disarm()
            await command.wait()
            status = await client.ask("POST", "/auth/refresh", cookie=who.refresh_token, json={})
            who.keep(status)
            report.expect("I7", status.ok, f"a session in a half-rotated house: {status.status}")
            again = await _rotate(environment)
            report.expect("I7", await again.wait() == 0, "a rotation cannot be finished")
            await _opens(site, report, fresh)
            before = fresh
            report.faults[f"kill -9 at {point} of master-key rotation"] += 1
            report.rounds += 1
    # From now on the house runs under the newest key.
    site.environment["AUTH_MASTER_KEYS"] = before
    site.canaries["master key, newest"] = before
    await site.kill_service()
    await site.start()
    status = await client.ask("POST", "/auth/refresh", cookie=who.refresh_token, json={})
    report.expect("I7", status.ok, f"a session after rotation and restart: {status.status}")
    client.close()


def _resealing(point: Point, words: str) -> Callable[[Moment], bool]:
    def wanted(moment: Moment) -> bool:
        if moment.point != point:
            return False
        if point == "inside":
            return words in moment.statement
        return moment.statement == "COMMIT" and moment.did(words)

    return wanted


async def _rotate(environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "service", "secret", "rotate-master"),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _opens(site: Site, report: Report, master: str) -> None:
    """Open everything under the new key alone."""
    direct = {
        **site.environment,
        "AUTH_DATABASE_URL": site.postgres.url,
        "AUTH_REDIS_URL": site.valkey.url,
        "AUTH_MASTER_KEYS": master,
    }
    try:
        async with open_runtime(deployment.load(direct), follow=False):
            pass
    except Exception as exc:  # noqa: BLE001 - whatever it is, it does not open
        report.violate("I7", f"after the rotation: {type(exc).__name__}: {exc}")
