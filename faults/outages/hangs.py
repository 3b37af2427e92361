"""PostgreSQL stops, or its standby is lost, in the middle of commits; nobody is signed out by it.

A trigger makes each rotation stay in its commit for a moment, so that a stop finds some of them
there.  Browsers ask again with the cookie they have when no answer comes, and some of their tabs
are slow: they send the cookie from before when another has used its successor.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from faults.client import Client
from faults.outages.standby import standby
from faults.report import Report
from faults.site import Device, Site

_BROWSERS = 16
_TABS = 2
_RESTS_SECONDS = 0.3
_SLOW_TAB_SECONDS = 1.0
"""So much later than its successor was received a slow tab still sends a cookie."""

_RUN_UP_SECONDS = 1.5
_LINGER = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON auth_families DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.generation <> NEW.generation) EXECUTE FUNCTION linger();
"""
_HURRY_ON = "DROP TRIGGER linger ON auth_families; DROP FUNCTION linger();"


class Hang(Struct, frozen=True):
    """How long PostgreSQL is away, after how long browsers ask again, and the grace they have."""

    seconds: float
    patience: float
    grace: int


QUICK = (Hang(5, 2, 2),)
FULL = tuple(Hang(seconds, patience, 10) for seconds in (5, 20, 40) for patience in (5, 20))
STANDBY = Hang(30, 5, 10), Hang(30, 20, 10)


async def hang(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """One round is short; more are all lengths, each so often but once, and a standby's."""
    async with _lingering(site):
        for number in range(max(1, rounds - 1)):
            for kind in QUICK if rounds == 1 else FULL:
                report.progress(f"round {number + 1}: stopped for {kind.seconds} s")
                async with _browsing(site, report, kind):
                    with stopped(site.postgres.pid):
                        await asyncio.sleep(kind.seconds)
                report.faults["PostgreSQL stopped (SIGSTOP)"] += 1
                report.rounds += 1
    for kind in STANDBY if rounds > 1 else ():
        report.progress(f"a standby lost for {kind.seconds} s")
        async with standby(site, report) as lost:
            if lost is None:
                return
            async with _browsing(site, report, kind):
                lost.kill()
                await asyncio.sleep(kind.seconds)
                lost.start()
        report.faults["a synchronous standby lost"] += 1
        report.rounds += 1


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process and its children (SIGSTOP); let them go on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    pids = [pid, *_children(pid)]
    for one in pids[1:]:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in pids:
            os.kill(one, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def _lingering(site: Site) -> AsyncIterator[None]:
    async with site.rt.pg.autocommit() as tx:
        await tx.execute(_LINGER)
    yield
    async with site.rt.pg.autocommit() as tx:
        await tx.execute(_HURRY_ON)


@dataclass
class _Browser:
    """Tabs with one jar."""

    site: Site
    report: Report
    device: Device
    patience: float
    ended: bool = False
    answers: int = 0

    async def tab(self) -> None:
        while not self.ended:
            used = await self._renew()
            received = time.monotonic()
            await self._renew()
            if time.monotonic() - received < _SLOW_TAB_SECONDS:
                await self._renew(used)
            await asyncio.sleep(_RESTS_SECONDS)

    async def _renew(self, first: str = "") -> str:
        """Ask until there is an answer, each time on another connection; return with what.

        That is what the jar has; the first time it may have been read from it a moment ago.
        """
        while True:
            token, first = first or self.device.refresh_token, ""
            client = Client(self.site.url, self.report)
            try:
                asking = client.ask("POST", "/auth/refresh", cookie=token, json={})
                answer = await asyncio.wait_for(asking, self.patience)
            except TimeoutError:
                self._count("times a browser asked again")
                continue
            finally:
                client.close()
            if answer.ok:
                self.answers += 1
                self.device.keep(answer)
                return token
            if not self.report.expect("I2", answer.unknown, f"signed out: {answer.status}"):
                self.ended = True
                return token
            self._count("times it was told 503")
            await asyncio.sleep(1)

    def _count(self, what: str) -> None:
        self.report.figures[what] = self.report.figures.get(what, 0) + 1


@asynccontextmanager
async def _browsing(site: Site, report: Report, kind: Hang) -> AsyncIterator[None]:
    """Have browsers renew before, while and after something happens; none may be signed out."""
    home = await site.organization_with(json.dumps({"refresh_grace": kind.grace}))
    devices = [await site.newcomer(home) for _ in range(_BROWSERS)]
    browsers = [_Browser(site, report, device, kind.patience) for device in devices]
    tabs = [asyncio.create_task(one.tab()) for one in browsers for _ in range(_TABS)]
    await asyncio.sleep(_RUN_UP_SECONDS)
    try:
        yield
        before = [one.answers for one in browsers]
        deadline = time.monotonic() + 2 * kind.patience + 60
        while any(
            one.answers < had + 4 and not one.ended
            for one, had in zip(browsers, before, strict=True)
        ):
            if not report.expect("recovery", time.monotonic() < deadline, "not well again"):
                break
            await asyncio.sleep(0.1)
    finally:
        for one in browsers:
            one.ended = True
        for tab in tabs:
            tab.cancel()
        await asyncio.gather(*tabs, return_exceptions=True)
    burned = await site.count(
        "SELECT count(*) FROM auth_eventos WHERE event_type = 'family.burned' AND tenant_id = $1",
        home.tenant_id,
    )
    told = f"{burned} of {_BROWSERS} sessions burned: {kind.seconds} s, again after {kind.patience}"
    report.expect("I2", burned == 0, told)
    seen = "browsers that went through a hang"
    report.figures[seen] = report.figures.get(seen, 0) + _BROWSERS
