"""I4: guesses at one account by every alias and door at once; right passwords at once, and in an
outage; budgets that many spend at once.
"""

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
_CROWD = 8


async def guess(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Guess at fresh accounts; sign in to them; spend one budget; compare answers and times."""
    clients = [site.client(report) for _ in range(_GUESSES)]
    for number in range(rounds):
        report.progress(f"{number} of {rounds} accounts")
        await _guess_at(site, report, dice, clients)
        report.rounds += 1
    for number in range(max(1, rounds // 5)):
        report.progress(f"right passwords at once, and in an outage: {number}")
        await _sign_in_together(site, report, clients)
        await _sign_in_without_events(site, report, clients[0])
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
        email.swapcase(),
        f"\t{email.capitalize()}\n",
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
    told = await site.count(
        "SELECT count(*) FROM auth_eventos WHERE user_id = $1 AND detail->>'why' <> 'crowded'"
        " AND event_type IN ('sign_in.failed', 'password.change_failed')",
        device.account.user_id,
    )
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


async def _sign_in_together(site: Site, report: Report, clients: list[Client]) -> None:
    """Nobody is told that a right password is wrong, because others are being looked at."""
    device = await site.newcomer()
    form = {"email": device.account.email, "password": PASSWORD}
    crowd = clients[:_CROWD]
    answers = await asyncio.gather(*(one.ask("POST", "/auth/login", json=form) for one in crowd))
    report.faults["right passwords at once"] += len(answers)
    told = sorted(answer.status for answer in answers)
    refused = [status for status in told if status not in (200, 503)]
    report.expect("I4", not refused, f"right passwords at once: {told}")
    report.expect("harness", 200 in told, f"right passwords at once: {told}")


async def _sign_in_without_events(site: Site, report: Report, client: Client) -> None:
    """An attempt that was never decided counts for nothing: no event can be written meanwhile."""
    device = await site.newcomer()
    form = {"email": device.account.email, "password": PASSWORD}
    name = f"full_{device.account.user_id.hex}"
    await site.fetch(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END $$"
    )
    await site.fetch(
        f"CREATE TRIGGER {name} BEFORE INSERT ON auth_eventos FOR EACH ROW"
        f" WHEN (NEW.user_id = '{device.account.user_id}') EXECUTE FUNCTION {name}()"
    )
    try:
        told = [(await client.ask("POST", "/auth/login", json=form)).status for _ in range(7)]
    finally:
        await site.fetch(f"DROP FUNCTION {name} CASCADE")
    report.faults["right passwords in an outage"] += len(told)
    report.expect("I4", set(told) == {503}, f"right passwords in an outage: {told}")
    answer = await client.ask("POST", "/auth/login", json=form)
    report.expect("I4", answer.status in (200, 503), f"right, after an outage: {answer.status}")
    report.expect("I7", answer.ok, f"right, after an outage: {answer.status}")


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
