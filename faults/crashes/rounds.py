"""Hold some acts at a point, kill, look, and let everybody try again."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from faults.client import Answer
from faults.crashes.acts import BEGINNINGS, ENDS, Act, Subject, TornError
from faults.invariants import check_standing
from faults.proxy import Moment, Point
from faults.report import Report
from faults.site import Site

Victim: TypeAlias = Literal["a worker", "the service", "PostgreSQL"]
VICTIMS: tuple[Victim, ...] = (
    *("PostgreSQL", "a worker", "PostgreSQL", "the service"),
    *("PostgreSQL",) * 6,
    "a worker",
    *("PostgreSQL",) * 6,
)
"""In turn.  PostgreSQL is back in a fifth of a second, a worker in three, the service in six."""

TOGETHER = 16
"""Acts that are crashed by one kill; a worker has twelve connections, and there are two."""

SAMPLE = 1
"""So few rounds mean: of some points, not of all."""

_PATIENCE_SECONDS = 15.0
_QUIET_SECONDS = 0.7
_AT_ONCE = 4
RECOVERY_SECONDS = 2.0


@dataclass
class Held:
    """One subject's act, under way."""

    subject: Subject
    task: "asyncio.Task[Answer]"


async def crash_sessions(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Crash whatever begins and continues a session."""
    await _crash(site, report, dice, rounds, BEGINNINGS)


async def crash_ends(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Crash whatever ends something, and keys and passwords."""
    await _crash(site, report, dice, rounds, ENDS)


async def _crash(
    site: Site, report: Report, dice: random.Random, rounds: int, acts: Sequence[Act]
) -> None:
    """Crash each act at each point, until each point had so many held at it."""
    cells = [(act, point) for act in acts for point in act.points]
    if rounds == SAMPLE:
        cells = dice.sample(cells, 4)
    for number, (act, point) in enumerate(cells):
        held = turns = 0
        queued = act.queues and point == "commit"
        while held < rounds:
            victim = _next_victim(number, turns, queued=queued)
            report.progress(
                f"{act.name}, {point}: {held} of {rounds}, then {victim}"
                f" (point {number + 1} of {len(cells)})"
            )
            most = 1 if queued else TOGETHER
            reached = await _round(site, report, act, point, victim, min(most, rounds - held))
            held += reached
            turns += 1
            if not report.expect("harness", reached, f"{act.name}: {point} is not met"):
                break
        report.faults[f"kill -9 at {point} of {act.name}"] += held
        async with site.rt.pg.autocommit() as tx:
            await check_standing(tx, report)
    await at_random_delays(site, report, dice, acts, max(1, rounds // 8))


def _next_victim(number: int, turns: int, *, queued: bool) -> Victim:
    """Take turns.  Where a kill holds one act alone there are many: three of four are quick."""
    if queued and turns % 4:
        return "PostgreSQL"
    return VICTIMS[(number + turns // (4 if queued else 1)) % len(VICTIMS)]


async def _round(
    site: Site, report: Report, act: Act, point: Point, victim: Victim, together: int
) -> int:
    """Return how many acts were held at the point when the kill came."""
    subjects = await asyncio.gather(*(act.prepare(site, report) for _ in range(together)))
    site.tap.arm(lambda moment: act.at(point, moment))
    under_way = [Held(one, asyncio.create_task(act.do(one))) for one in subjects]
    await site.tap.settled(together, _PATIENCE_SECONDS, _QUIET_SECONDS)
    caught = list(site.tap.held)
    dead = await kill(site, victim, caught)
    for moment in dead:
        moment.pair.reset()
    site.tap.disarm()
    answers = await asyncio.gather(*(one.task for one in under_way))
    await recover(site, report, victim)
    held = [any(one.acts_in(moment) for moment in dead) for one in subjects]
    few = asyncio.Semaphore(_AT_ONCE)

    async def judged(subject: Subject, answer: Answer, was_held: bool) -> None:  # noqa: FBT001 - zipped
        async with few:
            await _judge(site, report, act, point, subject, answer, was_held=was_held)
        subject.client.close()

    await asyncio.gather(*map(judged, subjects, answers, held))
    # Of a BEGIN nothing tells whose it is: one each.
    count = len(dead) if point == "begin" and not act.alone else sum(held)
    report.rounds += count
    return count


async def kill(site: Site, victim: Victim, caught: list[Moment]) -> list[Moment]:
    """Kill, and return the moments whose transactions died with the victim."""
    match victim:
        case "PostgreSQL":
            site.postgres.kill()
            return caught
        case "the service":
            await site.kill_service()
            return caught
        case "a worker":
            whose = {
                moment: site.worker_behind(moment.pair.near_port(), site.to_postgres)
                for moment in caught
            }
            pids = [pid for pid in whose.values() if pid is not None]
            if not pids:
                return []
            doomed = max(set(pids), key=pids.count)
            site.kill_worker(doomed)
            return [moment for moment, pid in whose.items() if pid == doomed]


async def recover(site: Site, report: Report, victim: Victim) -> None:
    """Bring the victim back and wait for the first success of a stranger and of a query."""
    match victim:
        case "PostgreSQL":
            site.postgres.start()
        case "the service":
            await site.start()
        case "a worker":
            pass  # is started again by its parent
    back = time.monotonic()
    client = site.client(report)
    while not (await client.ask("GET", "/readyz")).ok:
        if time.monotonic() - back > 20:
            report.violate("recovery", f"no success 20 s after {victim} was back")
            break
        await asyncio.sleep(0.02)
    took = time.monotonic() - back
    client.close()
    report.recoveries.append(took)
    if victim != "the service":
        report.expect("recovery", took <= RECOVERY_SECONDS, f"{victim}: {took:.1f} s")
    if victim == "a worker":
        report.expect("recovery", await site.all_serve(), "a killed worker was not replaced")


async def _judge(
    site: Site,
    report: Report,
    act: Act,
    point: Point,
    subject: Subject,
    answer: Answer,
    *,
    was_held: bool,
) -> None:
    where = f"{act.name}, killed at {point}"
    try:
        outcome = await act.look(site, subject)
    except TornError as torn:
        report.violate("I3", f"{where}: half of it has happened: {torn}")
        return
    if answer.ok:
        report.expect("I7", outcome == "done", f"{where}: acknowledged, and not there")
    elif answer.unknown:
        # Whoever hears nothing may be either, but for where the kill came.
        if point in ("begin", "inside", "commit"):
            report.expect("I7", outcome == "not done", f"{where}: there, though it never committed")
        elif was_held:
            report.expect("I7", outcome == "done", f"{where}: committed, and lost")
    else:
        report.violate("I6", f"{where}: {answer.status} {answer.body[:120]!r}")
    await act.converge(site, report, subject, outcome)


async def at_random_delays(
    site: Site, report: Report, dice: random.Random, acts: Sequence[Act], rounds: int
) -> None:
    """Kill at no point in particular: whatever is under way then."""
    for number in range(rounds):
        act = dice.choice(acts)
        victim = VICTIMS[number % len(VICTIMS)]
        report.progress(f"{victim} at a random delay: {number} of {rounds}")
        subjects = await asyncio.gather(*(act.prepare(site, report) for _ in range(TOGETHER)))
        under_way = [asyncio.create_task(act.do(one)) for one in subjects]
        await asyncio.sleep(dice.random() * 0.1)
        match victim:
            case "PostgreSQL":
                site.postgres.kill()
            case "the service":
                await site.kill_service()
            case "a worker":
                site.kill_worker(dice.choice(site.running.workers() or [os.getpid() + 10**7]))
        answers = await asyncio.gather(*under_way)
        await recover(site, report, victim)
        for subject, answer in zip(subjects, answers, strict=True):
            try:
                outcome = await act.look(site, subject)
            except TornError as torn:
                report.violate("I3", f"{act.name}, killed at random: half has happened: {torn}")
                continue
            if answer.ok:
                report.expect("I7", outcome == "done", f"{act.name}: acknowledged, and not there")
            await act.converge(site, report, subject, outcome)
            subject.client.close()
        report.faults["kill -9 at a random delay"] += 1
        report.rounds += 1
