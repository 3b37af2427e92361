"""Visitors that never stop, and what they were promised."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from faults.client import Answer, Client
from faults.report import Report
from faults.site import Device, Site
from service.kernel.refusal import Refused

_PAUSE_SECONDS = 0.02
_KEY_EVERY_SECONDS = 5.0
"""Fewer a minute than one worker allows that has lost Redis."""

_BOUND_SECONDS = 1.0


@dataclass
class Promises:
    """What was acknowledged."""

    keys: set[str] = field(default_factory=set)
    signed_out: set[str] = field(default_factory=set)
    dead: deque[tuple[float, str]] = field(default_factory=deque)
    """Access tokens of who signed out, and since when; to be tried a second later."""
    tried: int = 0
    last_success: dict[str, float] = field(default_factory=dict)
    seen: dict[str, set[int]] = field(default_factory=dict)

    def note(self, act: str, answer: Answer) -> Answer:
        """Keep when an act last succeeded."""
        self.seen.setdefault(act, set()).add(answer.status)
        if answer.ok:
            self.last_success[act] = time.monotonic()
        return answer

    async def again(self, acts: tuple[str, ...], since: float, patience: float) -> float | None:
        """Return after how many seconds each act had succeeded; None when one did not."""
        while time.monotonic() - since < patience:
            if all(self.last_success.get(act, 0.0) > since for act in acts):
                return max(self.last_success[act] for act in acts) - since
            await asyncio.sleep(0.01)
        return None


@asynccontextmanager
async def visiting(site: Site, report: Report, count: int) -> AsyncIterator[Promises]:
    """Have people do things all the time; what they were promised is compared at the end."""
    promises = Promises()
    ended = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for _ in range(count):
            device = await site.newcomer()
            client = site.client(report)
            stack.callback(client.close)
            tasks.append(asyncio.create_task(_stay(device, client, report, promises, ended)))
            guest = site.client(report)
            stack.callback(guest.close)
            tasks.append(asyncio.create_task(_come_and_go(site, guest, report, promises, ended)))
        ghost = site.client(report)
        stack.callback(ghost.close)
        tasks.append(asyncio.create_task(_return_dead(ghost, report, promises, ended)))
        try:
            yield promises
        finally:
            ended.set()
            await asyncio.gather(*tasks)
    await _compare(site, report, promises)


async def _stay(
    device: Device, client: Client, report: Report, promises: Promises, ended: asyncio.Event
) -> None:
    """Refresh and look; now and then make a key."""
    next_key = time.monotonic()
    while not ended.is_set():
        answer = await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
        device.keep(promises.note("refresh", answer))
        known = answer.ok or answer.unknown
        if not report.expect("I7", known, f"a token that was given out: {answer.status}"):
            return
        me = await client.ask("GET", "/auth/me", bearer=device.access_token)
        promises.note("me", me)
        report.expect("I7", me.ok or me.unknown, f"an access token that was given: {me.status}")
        if time.monotonic() >= next_key:
            next_key = time.monotonic() + _KEY_EVERY_SECONDS
            body = {"name": "outage", "scopes": ["agentes"]}
            made = await client.ask("POST", "/api-keys", bearer=device.access_token, json=body)
            if promises.note("key", made).ok:
                promises.keys.add(made.json()["id"])
        await asyncio.sleep(_PAUSE_SECONDS)


async def _come_and_go(
    site: Site, client: Client, report: Report, promises: Promises, ended: asyncio.Event
) -> None:
    """Be signed in, sign out, and see that one is out."""
    while not ended.is_set():
        try:
            device = await site.newcomer()
        except Refused:  # we make people past the proxies, but PostgreSQL itself may be gone
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        # A worker that knows them needs no PostgreSQL to take their token, dead or alive.
        await client.ask("GET", "/auth/me", bearer=device.access_token)
        answer = await client.ask("POST", "/auth/logout", cookie=device.refresh_token, json={})
        if promises.note("sign-out", answer).ok:
            promises.signed_out.add(device.session_id)
            promises.dead.append((time.monotonic(), device.access_token))
            again = await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
            refused = again.status == 401 or again.unknown
            report.expect(
                "I2", refused, f"a refresh after an acknowledged sign-out: {again.status}"
            )
        await asyncio.sleep(_PAUSE_SECONDS * 5)


async def _return_dead(
    client: Client, report: Report, promises: Promises, ended: asyncio.Event
) -> None:
    """Come back with the tokens of who signed out, a second after that was acknowledged (I5)."""
    while promises.dead or not ended.is_set():
        if not promises.dead:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        since, token = promises.dead.popleft()
        await asyncio.sleep(max(0.0, since + _BOUND_SECONDS - time.monotonic()))
        late = time.monotonic() - since
        # A connection of its own each time: to either worker.
        once = {"connection": "close"}
        answer = await client.ask("GET", "/auth/me", bearer=token, headers=once)
        refused = answer.status == 401 or answer.unknown
        report.expect("I5", refused, f"{late:.2f} s after a sign-out: {answer.status}")
        promises.tried += 1


async def _compare(site: Site, report: Report, promises: Promises) -> None:
    keys = await site.count(
        "SELECT count(*) FROM auth_api_keys WHERE key_id = ANY ($1::text[]::uuid[])",
        list(promises.keys),
    )
    report.expect("I7", keys == len(promises.keys), f"{len(promises.keys) - keys} keys are lost")
    ended = await site.count(
        "SELECT count(*) FROM auth_sessions WHERE session_id = ANY ($1::text[]::uuid[])"
        " AND ended_at IS NOT NULL",
        list(promises.signed_out),
    )
    lost = len(promises.signed_out) - ended
    report.expect("I7", lost == 0, f"{lost} acknowledged sign-outs are lost")
    report.figures["keys acknowledged and there"] = keys
    report.figures["sign-outs acknowledged and done"] = ended
    report.figures["their tokens tried after a second"] = promises.tried
