"""I4: parallel guesses at one account by every alias and door; budgets that many spend at once."""

import asyncio
import random
import statistics
import time

from faults.client import Answer, Client
from faults.report import Report
from faults.site import CREATIONS, PASSWORD, Device, Site

_GUESSES = 24
_ALLOWED = 5
_TIMINGS = 12


async def guess(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Guess at fresh accounts; spend one budget from many places; compare answers and times."""
    clients = [site.client(report) for _ in range(_GUESSES)]
    for number in range(rounds):
        report.progress(f"{number} of {rounds} accounts")
        await _guess_at(site, report, dice, clients)
        report.rounds += 1
    for number in range(max(1, rounds // 5)):
        report.progress(f"budgets spent by many at once: {number}")
        await _spend_together(site, report, clients)
    await _compare(site, report)
    for client in clients:
        client.close()


async def _guess_at(site: Site, report: Report, dice: random.Random, clients: list[Client]) -> None:
    device = await site.newcomer()
    email = device.account.email
    aliases = (
        email,
        email.upper(),
        email.title(),
        f"  {email} ",
        email.replace("p", "\uff50"),  # as wide as a Chinese letter: NFKC makes it a p
        email.replace("s", "\u017f"),  # the long s: case folding makes it an s
    )

    async def one(client: Client, number: int) -> Answer:
        if number % 4 == 3:
            return await client.ask(
                "PUT",
                "/auth/password",
                bearer=device.access_token,
                json={"current_password": f"wrong {number}", "new_password": "canary of a thief"},
            )
        form = {"email": dice.choice(aliases), "password": f"wrong {number}"}
        return await client.ask("POST", "/auth/login", json=form)

    answers = await asyncio.gather(*(one(client, n) for n, client in enumerate(clients)))
    report.faults["guesses at once"] += len(answers)
    good = [answer.status for answer in answers if answer.ok]
    report.expect("I4", not good, f"a wrong password was taken: {good}")
    evaluated = await site.count(
        "SELECT count(*) FROM auth_eventos WHERE user_id = $1 AND detail->>'why' ="
        " 'wrong_password'",
        device.account.user_id,
    )
    report.expect("I4", evaluated <= _ALLOWED, f"{evaluated} guesses were looked at")
    busy = any(answer.unknown for answer in answers)
    fewer = evaluated < _ALLOWED and not busy
    report.expect("harness", not fewer, f"only {evaluated} guesses were looked at")
    told = await site.events_of(device.account.user_id, "sign_in.failed", "password.change_failed")
    heard = sum(1 for answer in answers if answer.status == 401)
    report.expect("I3", told == heard, f"{heard} were refused, {told} events tell of it")
    locks = await site.events_of(device.account.user_id, "lockout.started")
    if evaluated == _ALLOWED:
        report.expect("I4", locks == 1, f"{locks} events of one lockout")
        right = {"email": email, "password": PASSWORD}
        answer = await clients[0].ask("POST", "/auth/login", json=right)
        report.expect("I4", answer.status in (401, 503), f"right, while locked: {answer.status}")
    await _still_in(report, clients[0], device)


async def _still_in(report: Report, client: Client, device: Device) -> None:
    answer = await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
    report.expect("I4", answer.ok, f"a lockout ended a session: {answer.status}")


async def _spend_together(site: Site, report: Report, clients: list[Client]) -> None:
    """A person creates at most so many things a minute, however many workers they ask."""
    device = await site.newcomer()
    body = {"name": "many", "scopes": ["agentes"]}
    began = time.monotonic()
    answers = [
        answer
        for _ in range(3)
        for answer in await asyncio.gather(
            *(
                client.ask("POST", "/api-keys", bearer=device.access_token, json=body)
                for client in clients
            )
        )
    ]
    if time.monotonic() - began > 50:
        return  # another window has begun
    made = sum(1 for answer in answers if answer.status == 201)
    report.expect("I4", made == CREATIONS, f"{made} creations where {CREATIONS} are allowed")
    for answer in answers:
        if answer.status == 429:
            told = answer.headers.get("retry-after", [""])[0]
            report.expect("I6", told.isdigit() and int(told) > 0, "429 without Retry-After")
    report.faults["creations at once"] += len(answers)


async def _compare(site: Site, report: Report) -> None:
    """Unknown and wrong answer alike, byte for byte, and in the same time (medians)."""
    known = await site.newcomer()
    client = site.client(report)
    for attempt in range(3):
        took: dict[str, list[float]] = {"unknown": [], "wrong": []}
        said: dict[str, set[bytes]] = {"unknown": set(), "wrong": set()}
        for number in range(_TIMINGS):
            if number % 4 == 0:  # five are looked at
                known = await site.newcomer()
            for kind, times in took.items():
                email = f"nobody-{attempt}-{number}@faults.example"
                email = known.account.email if kind == "wrong" else email
                began = time.monotonic()
                answer = await client.ask(
                    "POST",
                    "/auth/login",
                    json={"email": email, "password": "wrong"},
                    headers={"x-request-id": "the-same-for-all"},
                )
                times.append(time.monotonic() - began)
                said[kind].add(answer.body)
        medians = {kind: statistics.median(times) for kind, times in took.items()}
        alike = max(medians.values()) < 1.3 * min(medians.values())
        if alike:
            break
    client.close()
    report.expect("I4", alike, f"medians of refusals differ: {medians}")
    report.expect("I4", said["unknown"] == said["wrong"], "the answers differ")
    for kind, median in medians.items():
        report.figures[f"s for a refusal ({kind}, median)"] = round(median, 4)
