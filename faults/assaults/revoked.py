"""I5: what was revoked is refused by every worker within a second, and stands in the feed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from faults.client import Answer, Client
from faults.report import Report
from faults.site import Device, Site
from service.kernel import jose

_KINDS = ("sign-out", "disabled", "jti", "sid", "sub", "tenant_id", "client_id", "key", "akid")
"""By an act of its own; the others by hand.  A signing key is killed, which is another act."""

_ME, _FEED = "/auth/me", "/revocations?after=0&limit=1"
_BOUND_SECONDS = 1.0
_TOGETHER = 5
_PATIENCE_SECONDS = 20.0
_FRESH_EVERY = 100
"""Rounds for which an administrator's token is good for sure."""


@dataclass
class Doomed:
    """A token, its end, and what the feed will say."""

    token: str
    path: str
    end: Callable[[], Awaitable[Answer]]
    value: str


async def present_revoked(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Revoke by each kind, present it at each worker, and read the feed of each meanwhile."""
    admin = await site.newcomer(role="owner", platform_admin=True)
    workers = await site.connection_to_each(report)
    follow = await site.connection_to_each(report)
    ended = asyncio.Event()
    first = await site.count("SELECT seq FROM auth_revocation_head")
    followers = [
        asyncio.create_task(_follow(site, client, report, first, ended)) for client in follow
    ]
    promised: set[str] = set()
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        if number % _FRESH_EVERY == _FRESH_EVERY - 1:
            admin = await site.device(admin.account, admin.organization, "owner")
        await asyncio.gather(
            *(
                _one(site, report, admin, workers, promised, number * _TOGETHER + n)
                for n in range(_TOGETHER)
            )
        )
        report.rounds += 1
    ended.set()
    for seen in await asyncio.gather(*followers):
        missing = promised - seen
        report.expect("I5", not missing, f"{len(missing)} acknowledged are not in the feed")
    for client in (*workers, *follow):
        client.close()


async def _one(
    site: Site,
    report: Report,
    admin: Device,
    workers: list[Client],
    promised: set[str],
    number: int,
) -> None:
    asker = site.client(report)
    doomed = await _doomed(site, asker, admin, number)
    places = [site.client(report) for _ in range(2)] + workers
    for client in places:
        good = await client.ask("GET", doomed.path, bearer=doomed.token)
        report.expect("harness", good.status in (200, 403), f"not good before: {good.status}")
    answer = await doomed.end()
    acknowledged = time.monotonic()
    if report.expect(
        "I5", answer.ok, f"could not be revoked: {answer.status} {answer.body[:99]!r}"
    ):
        promised.add(doomed.value)
        report.faults["revocations"] += 1
        for client in places:
            await _until_refused(report, client, doomed, acknowledged)
    asker.close()
    for client in places[:2]:
        client.close()


async def _until_refused(
    report: Report, client: Client, doomed: Doomed, acknowledged: float
) -> None:
    while True:
        asked = time.monotonic()
        answer = await client.ask("GET", doomed.path, bearer=doomed.token)
        if answer.status == 401:
            report.worst(
                "s until a revocation was known everywhere", round(asked - acknowledged, 3)
            )
            return
        if asked - acknowledged > _BOUND_SECONDS and answer.status in (200, 403):
            late = asked - acknowledged
            report.violate("I5", f"{doomed.path}: accepted {late:.2f} s after the answer")
            return
        if asked - acknowledged > _PATIENCE_SECONDS:
            report.violate("I6", f"{doomed.path}: no verdict on a revoked token: {answer.status}")
            return
        await asyncio.sleep(0.005)


async def _doomed(site: Site, asker: Client, admin: Device, number: int) -> Doomed:
    kind = _KINDS[number % len(_KINDS)]
    if kind in ("key", "akid"):
        return await _doomed_key(site, asker, admin, kind)
    if kind == "client_id":
        machine = await site.machine()
        by_hand = partial(_by_hand, asker, admin, kind, machine.client_id)
        return Doomed(machine.access_token, _FEED, by_hand, machine.client_id)
    device = await site.newcomer()
    token, user_id = device.access_token, str(device.account.user_id)
    if kind == "sign-out":
        sign_out = partial(asker.ask, "POST", "/auth/logout", cookie=device.refresh_token, json={})
        return Doomed(token, _ME, sign_out, device.session_id)
    if kind == "disabled":
        path = f"/admin/users/{user_id}/disable"
        disable = partial(asker.ask, "POST", path, bearer=admin.access_token, json={})
        return Doomed(token, _ME, disable, device.session_id)
    value = msgspec.json.decode(jose.decode(token.split(".")[1]))[kind]
    return Doomed(token, _ME, partial(_by_hand, asker, admin, kind, value), value)


async def _doomed_key(site: Site, asker: Client, admin: Device, kind: str) -> Doomed:
    owner = await site.newcomer(role="owner", platform_admin=True)
    made = await asker.ask(
        "POST",
        "/api-keys",
        bearer=owner.access_token,
        json={"name": "doomed", "scopes": ["revocations:read"]},
    )
    key = made.json()
    path = f"/api-keys/{key['id']}/revoke"
    end = partial(asker.ask, "POST", path, bearer=owner.access_token, json={})
    if kind == "akid":
        end = partial(_by_hand, asker, admin, kind, key["id"])
    return Doomed(key["secret"], _FEED, end, key["id"])


async def _by_hand(asker: Client, admin: Device, kind: str, value: str) -> Answer:
    body = {"kind": kind, "value": value}
    return await asker.ask("POST", "/revocations", bearer=admin.access_token, json=body)


async def _follow(
    site: Site, client: Client, report: Report, after: int, ended: asyncio.Event
) -> set[str]:
    """Follow the feed as a verifier does; no number may be missing, none may come twice."""
    reader = await site.machine()
    seen: set[str] = set()
    last_round = False
    while True:
        path = f"/revocations?after={after}&wait=1&limit=50"
        answer = await client.ask("GET", path, bearer=reader.access_token)
        if answer.status == 401:  # a token of fifteen minutes
            reader = await site.machine()
            continue
        if answer.ok:
            page = answer.json()
            numbers = [entry["seq"] for entry in page["entries"]]
            expected = list(range(after + 1, after + 1 + len(numbers)))
            report.expect("I5", numbers == expected, f"the feed skips: {after} then {numbers[:5]}")
            seen |= {entry["value"] for entry in page["entries"]}
            after = max(after, page["next"])
            if last_round and not numbers:
                return seen
        last_round = ended.is_set()
