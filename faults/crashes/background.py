"""Crashes of what runs in the background, or from the command line: sealing and master keys."""

import asyncio
import base64
import json
import multiprocessing
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess

from faults.crashes.rounds import SAMPLE, Victim, kill, recover
from faults.motion import in_motion
from faults.proxy import Moment, Pair, Point
from faults.report import Report
from faults.site import Site
from service import settings as deployment
from service.cli import main as command
from service.flows.upkeep.verify_trail import verify_trail
from service.flows.vault.rotate_master import check_master
from service.kernel.ids import TenantId, UserId
from service.runtime import open_runtime

_SEALS = "auth_event_seals"
_RESEALS = ("UPDATE auth_root", "UPDATE auth_signing_keys", "UPDATE auth_secret_versions")
"""In the order in which it goes through them, each in a transaction of its own."""

_POINTS: tuple[Point, ...] = ("begin", "inside", "commit", "done")
_SHARES: dict[Victim, float] = {"PostgreSQL": 0.88, "a worker": 0.1, "the service": 0.02}
"""How often each is killed while the trail is sealed.  Mostly PostgreSQL: it is back soonest."""

_TRIES, _SEALED_SECONDS = 5, 5.0
_VERIFIED = 2
"""Verifications of a trail in motion, at least."""

_POSTGRES_EVERY = 5
"""One rotation of master keys in so many loses PostgreSQL; the others are killed themselves."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


async def crash_sealing(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Kill whoever seals the trail, at each point; at the end the chain must be whole.

    It must be so at every moment: it is verified again and again while it is sealed, signed,
    dropped and people are erased.
    """
    for point in _POINTS:
        for number in range(rounds):
            report.progress(f"sealing, {point}: {number} of {rounds}")
            if not await _caught(site, point):
                report.violate("harness", f"nobody seals: {point}")
                break
            (victim,) = dice.choices(list(_SHARES), list(_SHARES.values()))
            if not await kill(site, victim, site.tap.held):  # whose worker that was is not known
                victim = "PostgreSQL"
                await kill(site, victim, site.tap.held)
            for moment in site.tap.held:
                moment.pair.reset()
            site.tap.disarm()
            await recover(site, report, victim)
            report.faults[f"kill -9 at {point} of sealing"] += 1
            report.rounds += 1
    await _trail_is_whole(site, report)
    await _verify_in_motion(site, report, max(_VERIFIED, 2 * rounds))


async def _caught(site: Site, point: Point) -> bool:
    """Leave events until whoever seals them is held.

    They are sealed unseen where the look and its transaction are on two connections.
    """
    for _ in range(_TRIES):
        await site.newcomer()
        site.tap.arm(_sealing(point))
        if await site.tap.reached(1, _SEALED_SECONDS):
            return True
        site.tap.disarm()
    return False


def _sealing(point: Point) -> Callable[[Moment], bool]:
    looked: set[Pair] = set()
    """Connections on which somebody has just looked what there is to seal: a BEGIN is theirs."""

    def wanted(moment: Moment) -> bool:
        if moment.point == "done":
            (looked.add if _SEALS in moment.statement else looked.discard)(moment.pair)
        if moment.point != point:
            return False
        if point == "begin":
            return moment.statement == "BEGIN" and moment.pair in looked
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


async def _verify_in_motion(site: Site, report: Report, times: int) -> None:
    """Run `audit verify` of the service under attack while its trail moves: never a finding."""
    organization = await site.organization()

    async def newcomer() -> tuple[TenantId, UserId]:
        return organization.tenant_id, (await site.person(organization)).user_id

    async with in_motion(site.rt, newcomer) as done:
        for number in range(times):
            report.progress(f"verifying, {number} of {times}")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "audit", "verify", "--json"),
                env=site.environment,
                cwd=site.environment["PYTHONPATH"],
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            said, why = await process.communicate()
            if process.returncode != 0 or not json.loads(said)["valid"]:
                report.violate("I3", f"the trail in motion: {(said or why).decode()[:2000]}")
        for what, count in done.items():
            report.figures[f"{what} meanwhile"] = count
    report.figures["verified in motion"] = times


async def crash_master_rotation(
    site: Site, report: Report, dice: random.Random, rounds: int
) -> None:
    """Kill `secret rotate-master` at each point, or take PostgreSQL from it; finished at last, the
    new key alone opens all.
    """
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
            words = _RESEALS[number % len(_RESEALS)]
            rotating = _rotate(environment)
            site.tap.arm(_resealing(point, words, partial(_is_of, site, rotating)))
            met = await site.tap.reached(1, 30)
            report.expect("harness", met, f"rotate-master never came to {point}")
            loses_postgres = number % _POSTGRES_EVERY == _POSTGRES_EVERY - 1
            if loses_postgres:
                site.postgres.kill()
            else:
                rotating.kill()
            for moment in site.tap.held:
                moment.pair.reset()
            site.tap.disarm()
            await asyncio.to_thread(rotating.join, 60)
            if loses_postgres:
                await recover(site, report, "PostgreSQL")
            status = await client.ask("POST", "/auth/refresh", cookie=who.refresh_token, json={})
            who.keep(status)
            report.expect("I7", status.ok, f"a session in a half-rotated house: {status.status}")
            again = _rotate(environment)
            await asyncio.to_thread(again.join, 60)
            report.expect("I7", again.exitcode == 0, "a rotation cannot be finished")
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


def _resealing(
    point: Point, words: str, ours: Callable[[Moment], bool]
) -> Callable[[Moment], bool]:
    place = _RESEALS.index(words)
    passed = place == 0
    """Whether what comes before these is done with: the next BEGIN is theirs."""

    def wanted(moment: Moment) -> bool:
        nonlocal passed
        passed = passed or _RESEALS[place - 1] in moment.statement
        if moment.point != point:
            return False
        if point == "begin":
            return passed and moment.statement == "BEGIN" and ours(moment)
        if point == "inside":
            return words in moment.statement
        return moment.statement == "COMMIT" and moment.did(words)

    return wanted


def _is_of(site: Site, process: BaseProcess, moment: Moment) -> bool:
    port = moment.pair.near_port()
    return site.process_behind(port, site.to_postgres, [process.pid or 0]) is not None


def _rotate(environment: dict[str, str]) -> BaseProcess:
    """Run the command in a process of its own, forked from one that has imported it already."""
    process = _PROCESSES.Process(target=_rotate_master, args=(environment,))
    process.start()
    return process


def _rotate_master(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    command(["secret", "rotate-master"])


async def _opens(site: Site, report: Report, master: str) -> None:
    """Open everything that is sealed under the new key alone."""
    direct = {
        **site.environment,
        "AUTH_DATABASE_URL": site.postgres.url,
        "AUTH_REDIS_URL": site.valkey.url,
        "AUTH_MASTER_KEYS": master,
    }
    try:
        async with open_runtime(deployment.load(direct), follow=False) as rt:
            found = await check_master(rt, lambda _: None)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it does not open
        report.violate("I7", f"after the rotation: {type(exc).__name__}: {exc}")
        return
    whole = found.total and not (found.older or found.broken)
    report.expect("I7", whole, f"after the rotation: {found}")
