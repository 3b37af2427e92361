"""Each kind of fault in turn, and how long it took until all was well."""

import asyncio
import errno
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

from faults.outages.unannounced import lose_announcements
from faults.outages.visitors import Promises, visiting
from faults.proxy import Moment
from faults.report import Report
from faults.site import Site

_VISITORS = 4
_ACTS = ("refresh", "me", "sign-out")
_RECOVERY_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0
_LONG_LOG = "SELECT pg_logical_emit_message(false, 'faults', repeat('x', 40000000))"
"""More than one segment."""


class Fault(Struct, frozen=True):
    """Something that happens to the service.  `harmless`: nobody may notice more than slowness."""

    name: str
    inflict: Callable[[Site], Awaitable[None]]
    harmless: bool = False
    needs_a_disk: bool = False
    felt: bool = False
    """Whether somebody must have noticed: else it was none."""


async def endure_outages(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Inflict each fault so many times, in an order that the dice choose."""
    kinds = [fault for fault in FAULTS if site.disk is not None or not fault.needs_a_disk]
    if len(kinds) < len(FAULTS):
        report.tell("no file system can be mounted here: no disk is filled")
    await lose_announcements(site, report, rounds)
    faults = [fault for fault in kinds for _ in range(rounds)]
    dice.shuffle(faults)
    async with visiting(site, report, _VISITORS) as promises:
        first = await promises.again(_ACTS, time.monotonic(), _PATIENCE_SECONDS)
        report.expect("harness", first is not None, "nothing works before any fault")
        for number, fault in enumerate(faults):
            report.progress(f"{fault.name} ({number + 1} of {len(faults)})")
            await _endure(site, report, fault, promises)
            await asyncio.sleep(dice.random() * 0.3)
        report.rounds += len(faults)


async def _endure(site: Site, report: Report, fault: Fault, promises: Promises) -> None:
    promises.seen.clear()
    await fault.inflict(site)
    site.to_postgres.heal()
    site.to_valkey.heal()
    healed = time.monotonic()
    took = await promises.again(_ACTS, healed, _PATIENCE_SECONDS)
    report.faults[fault.name] += 1
    if took is None:
        report.violate("recovery", f"{fault.name}: not well after {_PATIENCE_SECONDS:.0f} s")
        return
    report.recoveries.append(took)
    report.worst(f"s until all is well after: {fault.name}", round(took, 2))
    report.expect("recovery", took <= _RECOVERY_SECONDS, f"{fault.name}: {took:.1f} s")
    report.expect("recovery", await site.all_serve(), f"{fault.name}: a worker is missing")
    bad = {s for statuses in promises.seen.values() for s in statuses if s >= 500 or s == 0}
    if bad:
        felt = f"times felt: {fault.name}"
        report.figures[felt] = report.figures.get(felt, 0) + 1
    if fault.harmless:
        report.expect("I6", not bad, f"{fault.name}: visitors saw {sorted(bad)}")
    if fault.felt:
        report.expect("harness", bad, f"{fault.name}: nobody noticed")


# --- PostgreSQL -----------------------------------------------------------------------------------


async def _postgres_killed(site: Site) -> None:
    site.postgres.kill()
    await asyncio.sleep(0.3)
    site.postgres.start()


async def _postgres_resets(site: Site) -> None:
    site.to_postgres.reset_all()
    await asyncio.sleep(0.1)


async def _postgres_half_closes(site: Site) -> None:
    site.to_postgres.half_close_all()
    await asyncio.sleep(0.1)
    site.to_postgres.reset_all()


async def _postgres_refuses(site: Site) -> None:
    site.to_postgres.refusing = True
    site.to_postgres.reset_all()
    await asyncio.sleep(1)


async def _postgres_is_late(site: Site) -> None:
    site.to_postgres.delay = 0.1
    await asyncio.sleep(1.5)


async def _postgres_is_silent(site: Site) -> None:
    """Packets vanish; then the connections are cut, as by a failover."""
    site.to_postgres.swallowing = True
    await asyncio.sleep(1.5)
    site.to_postgres.heal()
    site.to_postgres.reset_all()


async def _commits_lose_their_answer(site: Site) -> None:
    """COMMIT was sent and done; the connection is reset before the service hears so."""

    def committed(moment: Moment) -> bool:
        wrote = "UPDATE auth_families" in moment.statement or moment.did("INSERT INTO")
        return moment.point == "done" and wrote

    site.tap.arm(committed)
    await site.tap.reached(4, 2)
    for moment in site.tap.held:
        moment.pair.reset()
    site.tap.disarm()


async def _disk_full(site: Site) -> None:
    """No table can grow; what needs no writing goes on.  The last pages have room for a while."""
    async with _full(site):
        await asyncio.sleep(6)


async def _no_room_for_the_log(site: Site) -> None:
    """PostgreSQL itself gives up: what it cannot log it cannot promise."""
    async with _full(site):
        with suppress(Exception):
            async with site.rt.pg.autocommit() as tx:
                await tx.execute(_LONG_LOG)
        await asyncio.sleep(1)


@asynccontextmanager
async def _full(site: Site) -> AsyncIterator[None]:
    assert site.disk is not None
    ballast = site.disk / "ballast"
    try:
        with ballast.open("wb") as file:
            _fill(file.fileno())
        yield
    finally:
        ballast.unlink()
        if not site.postgres.is_running():
            site.postgres.start()


def _fill(file: int) -> None:
    """Take all the room there is, though others write while it is counted."""
    while True:
        os.ftruncate(file, 0)
        told = os.fstatvfs(file)
        room = told.f_bavail * told.f_frsize
        try:
            if room:
                os.posix_fallocate(file, 0, room)
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
            continue
        return


# --- Valkey ---------------------------------------------------------------------------------------


async def _valkey_killed(site: Site) -> None:
    site.valkey.kill()
    await asyncio.sleep(0.5)
    site.valkey.start()


async def _valkey_hangs(site: Site) -> None:
    os.kill(site.valkey.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(1.5)
    finally:
        os.kill(site.valkey.pid, signal.SIGCONT)


async def _valkey_resets(site: Site) -> None:
    site.to_valkey.reset_all()
    await asyncio.sleep(0.2)


async def _valkey_half_closes(site: Site) -> None:
    site.to_valkey.half_close_all()
    await asyncio.sleep(0.2)


async def _valkey_is_late(site: Site) -> None:
    site.to_valkey.delay = 0.15
    await asyncio.sleep(1.5)


async def _valkey_is_silent(site: Site) -> None:
    site.to_valkey.swallowing = True
    await asyncio.sleep(1.5)


# --- processes ------------------------------------------------------------------------------------


async def _worker_killed(site: Site) -> None:
    """The other one stands in for it at once."""
    site.kill_worker(site.running.workers()[0])


async def _worker_hangs(site: Site) -> None:
    pid = site.running.workers()[0]
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGCONT)


FAULTS = (
    Fault("PostgreSQL killed", _postgres_killed, felt=True),
    Fault("PostgreSQL's connections reset", _postgres_resets),
    Fault("PostgreSQL's connections half-closed", _postgres_half_closes),
    Fault("PostgreSQL refuses connections", _postgres_refuses, felt=True),
    Fault("PostgreSQL late by 0.1 s", _postgres_is_late),
    Fault("PostgreSQL silent", _postgres_is_silent, felt=True),
    Fault("PostgreSQL's disk is full", _disk_full, needs_a_disk=True),
    Fault("no room for PostgreSQL's log", _no_room_for_the_log, needs_a_disk=True, felt=True),
    Fault("answers of COMMIT lost", _commits_lose_their_answer, felt=True),
    Fault("Valkey killed", _valkey_killed, harmless=True),
    Fault("Valkey hangs (SIGSTOP)", _valkey_hangs, harmless=True),
    Fault("Valkey's connections reset", _valkey_resets, harmless=True),
    Fault("Valkey's connections half-closed", _valkey_half_closes, harmless=True),
    Fault("Valkey late by 0.15 s", _valkey_is_late, harmless=True),
    Fault("Valkey silent", _valkey_is_silent, harmless=True),
    Fault("a worker killed", _worker_killed),
    Fault("a worker hangs (SIGSTOP)", _worker_hangs),
)
