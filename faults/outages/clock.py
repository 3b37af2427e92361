"""The host's clock jumps, really: under libfaketime, by a file that each look at the clock reads.

PostgreSQL's clock is the one that counts.  So nobody may notice anything, but for `/readyz`, which
says that the host's clock is wrong.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from faults.client import Client
from faults.outages.visitors import visiting
from faults.report import Report
from faults.site import PASSWORD, Device, Site
from service.kernel import jose

_LIBRARY = "lib/*/faketime/libfaketimeMT.so.1"
_STEPS = ("+3600", "-3600", "+86400", "-86400", "+45")
"""Seconds."""

_VISITORS = 3
_NOTICED_SECONDS = 20.0
_CLOSE_SECONDS = 2
_EXPIRED_SECONDS = 20


async def step_clock(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Step the host's clock by so much each, and back, while people come and go."""
    library = _library()
    if library is None:
        report.tell("no libfaketime here: no clock is stepped")
        return
    async with _faked(site, library) as clock, visiting(site, report, _VISITORS) as promises:
        client = site.client(report)
        device = await site.newcomer()
        locked = await _locked_out(site, report, client)
        for number in range(rounds):
            step = _STEPS[number % len(_STEPS)]
            report.progress(f"{step} s ({number + 1} of {rounds})")
            clock.write_text(step)
            noticed = await _ready(client, ready=False)
            report.expect("harness", noticed is not None, f"{step} s: nobody sees the step")
            await _as_ever(site, report, client, device, locked, step)
            clock.write_text(dice.choice(("+0", "+3", "-3")))
            back = await _ready(client, ready=True)
            if report.expect("recovery", back is not None, f"{step} s: not ready again"):
                report.recoveries.append(back or 0.0)
            report.faults[f"clock stepped by {step} s"] += 1
            report.rounds += 1
        client.close()
        bad = {s for statuses in promises.seen.values() for s in statuses if s >= 300 or s == 0}
        report.expect("I6", not bad, f"visitors of a stepped clock saw {sorted(bad)}")


def _library() -> Path | None:
    return next(Path("/usr").glob(_LIBRARY), None)


@asynccontextmanager
async def _faked(site: Site, library: Path) -> AsyncIterator[Path]:
    """Start the service under libfaketime; the file tells the offset.  Monotonic time is true."""
    before = dict(site.environment)
    clock = site.log.with_name("clock")
    clock.write_text("+0")
    site.environment |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    await site.kill_service()
    await site.start()
    try:
        yield clock
    finally:
        site.environment.clear()
        site.environment.update(before)
        await site.kill_service()
        await site.start()


async def _locked_out(site: Site, report: Report, client: Client) -> Device:
    """Someone whose account is locked for the next fifteen minutes."""
    device = await site.newcomer()
    for number in range(6):
        form = {"email": device.account.email, "password": f"wrong {number}"}
        await client.ask("POST", "/auth/login", json=form)
    locks = await site.events_of(device.account.user_id, "lockout.started")
    report.expect("harness", locks == 1, f"{locks} lockouts")
    return device


async def _ready(client: Client, *, ready: bool) -> float | None:
    """Return after how many seconds /readyz says so; None when it does not."""
    began = time.monotonic()
    while time.monotonic() - began < _NOTICED_SECONDS:
        if (await client.ask("GET", "/readyz", headers={"connection": "close"})).ok == ready:
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    return None


async def _as_ever(
    site: Site, report: Report, client: Client, device: Device, locked: Device, step: str
) -> None:
    answer = device.keep(
        await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
    )
    report.expect("clock", answer.ok, f"{step} s: a refresh: {answer.status}")
    claims = msgspec.json.decode(jose.decode(device.access_token.split(".")[1]))
    off = claims["iat"] - site.rt.clock.now().timestamp()
    report.expect("clock", abs(off) <= _CLOSE_SECONDS, f"{step} s: issued {off:.0f} s from now")
    report.worst("s between issue and the database's time", round(abs(off), 2))
    me = await client.ask("GET", "/auth/me", bearer=device.access_token)
    report.expect("clock", me.ok, f"{step} s: a fresh token: {me.status}")
    expired = _expired(site, device)
    me = await client.ask("GET", "/auth/me", bearer=expired)
    report.expect("clock", me.status == 401, f"{step} s: an expired token: {me.status}")
    form = {"email": locked.account.email, "password": PASSWORD}
    signed_in = await client.ask("POST", "/auth/login", json=form)
    told = f"{step} s: a locked account: {signed_in.status}"
    report.expect("clock", signed_in.status in (401, 503), told)
    fresh = await site.newcomer()
    form = {"email": fresh.account.email, "password": PASSWORD}
    signed_in = await client.ask("POST", "/auth/login", json=form)
    report.expect("clock", signed_in.status in (200, 503), f"{step} s: {signed_in.status}")


def _expired(site: Site, device: Device) -> str:
    """Make a genuine token that expired a moment ago, by the database's time."""
    head, payload, _ = device.access_token.split(".")
    now = int(site.rt.clock.now().timestamp())
    claims = msgspec.json.decode(jose.decode(payload)) | {"exp": now - _EXPIRED_SECONDS}
    key = site.rt.keyring.signing(site.rt.clock.now())
    return key._signed(head, msgspec.json.encode(claims))  # noqa: SLF001 - a forger has no door
