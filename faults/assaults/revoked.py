"""I5: what was revoked is refused by every worker within a second, and stands in the feed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.client import Answer, Client
from faults.report import Report
from faults.site import Device, Machine, Site

_BOUND_SECONDS = 1.0
_TOGETHER = 5


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
    reader = await site.machine("revocations:read")
    workers = await site.connection_to_each(report)
    follow = await site.connection_to_each(report)
    ended = asyncio.Event()
    first = await site.count("SELECT seq FROM auth_revocation_head")
    followers = [
        asyncio.create_task(_follow(client, reader, report, first, ended)) for client in follow
    ]
    promised: set[str] = set()
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
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
    if doomed is None:
        asker.close()
        return
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
        await asyncio.sleep(0.005)


async def _doomed(site: Site, asker: Client, admin: Device, number: int) -> Doomed | None:
    device = await site.newcomer()
    me = "/auth/me"
    revoke = {
        "sign-out": lambda: asker.ask("POST", "/auth/logout", cookie=device.refresh_token, json={}),
        "sid": lambda: _by_hand(asker, admin, "sid", device.session_id),
        "sub": lambda: _by_hand(asker, admin, "sub", str(device.account.user_id)),
        "tenant_id": lambda: _by_hand(
            asker, admin, "tenant_id", str(device.organization.tenant_id)
        ),
        "disabled": lambda: asker.ask(
            "POST",
            f"/admin/users/{device.account.user_id}/disable",
            bearer=admin.access_token,
            json={},
        ),
    }
    values = {
        "sign-out": device.session_id,
        "sid": device.session_id,
        "sub": str(device.account.user_id),
        "tenant_id": str(device.organization.tenant_id),
        "disabled": device.session_id,
    }
    kinds = [*revoke, "key"]
    kind = kinds[number % len(kinds)]
    if kind != "key":
        return Doomed(device.access_token, me, revoke[kind], values[kind])
    made = await asker.ask(
        "POST",
        "/api-keys",
        bearer=admin.access_token,
        json={"name": "doomed", "scopes": ["revocations:read"]},
    )
    if made.status == 429:
        return None
    key = made.json()
    path = f"/api-keys/{key['id']}/revoke"
    return Doomed(
        key["secret"],
        "/revocations?after=0&limit=1",
        lambda: asker.ask("POST", path, bearer=admin.access_token, json={}),
        key["id"],
    )


async def _by_hand(asker: Client, admin: Device, kind: str, value: str) -> Answer:
    body = {"kind": kind, "value": value}
    return await asker.ask("POST", "/revocations", bearer=admin.access_token, json=body)


async def _follow(
    client: Client, reader: Machine, report: Report, after: int, ended: asyncio.Event
) -> set[str]:
    """Follow the feed as a verifier does; no number may be missing, none may come twice."""
    seen: set[str] = set()
    last_round = False
    while True:
        path = f"/revocations?after={after}&wait=1&limit=50"
        answer = await client.ask("GET", path, bearer=reader.access_token)
        if answer.status == 401:  # a token of fifteen minutes
            return seen
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
