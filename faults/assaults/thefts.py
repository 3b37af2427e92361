"""I2: a refresh token that was stolen is found out at its next use beyond the windows of grace.

Each theft is of a session of its own: the owner renews, the thief shows the token from before, and
what comes of it depends on when, from where, and whether the owner had used the successor.
"""

import asyncio
import json
import random

from msgspec import Struct

from faults.report import Report
from faults.site import Site

_GRACE, _LOST = 1, 4
_MARGIN = 0.5
_TOGETHER = 5


class Theft(Struct, frozen=True):
    """When the thief comes (seconds after the renewal), from where, and what must come of it."""

    what: str
    after: float
    found: bool
    elsewhere: bool = False
    agent: str = "faults"
    used: bool = False
    """Whether the owner has used the successor before."""


THEFTS = (
    Theft("from elsewhere beyond the grace", _GRACE + _MARGIN, found=True, elsewhere=True),
    Theft("by another agent beyond the grace", _GRACE + _MARGIN, found=True, agent="thief"),
    Theft("where the owner is, the successor used", _GRACE + _MARGIN, found=True, used=True),
    Theft("where the owner is, later than answers are lost", _LOST + _MARGIN, found=True),
    Theft("like a lost answer", _GRACE + _MARGIN, found=False),
)


async def steal(site: Site, report: Report, _dice: random.Random, rounds: int) -> None:
    """Commit each theft so many times."""
    policy = json.dumps({"refresh_grace": _GRACE, "lost_answer_grace": _LOST})
    for done in range(0, rounds, _TOGETHER):
        report.progress(f"{done} of {rounds}")
        await asyncio.gather(
            *(
                _steal(site, report, policy, theft)
                for theft in THEFTS
                for _ in range(min(_TOGETHER, rounds - done))
            )
        )
    report.rounds += rounds * len(THEFTS)


async def _steal(site: Site, report: Report, policy: str, theft: Theft) -> None:
    device = await site.newcomer(await site.organization_with(policy))
    owner = site.client(report)
    thief = site.client(report, "203.0.113.7" if theft.elsewhere else owner.address)
    thief.agent = theft.agent
    stolen = device.refresh_token
    for _ in range(2 if theft.used else 1):
        answer = await owner.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
        report.expect("harness", device.keep(answer).ok, f"a renewal: {answer.status}")
    await asyncio.sleep(theft.after)
    answer = await thief.ask("POST", "/auth/refresh", cookie=stolen, json={})
    expected = 401 if theft.found else 200
    report.expect("I2", answer.status == expected, f"a theft {theft.what}: {answer.status}")
    if answer.ok:
        same = answer.cookie() == device.refresh_token
        report.expect("I1", same, f"a theft {theft.what}: another token")
    mine = await owner.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
    report.expect("I2", mine.status == expected, f"the owner after a theft: {mine.status}")
    burned = await site.events_of(device.account.user_id, "family.burned")
    report.expect("I3", burned == theft.found, f"a theft {theft.what}: {burned} events")
    report.faults["thefts"] += 1
    owner.close()
    thief.close()
