"""Make histories: a start barrier, a few clients over both workers, a few acts each."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from faults.client import Answer, Client
from faults.histories.linearise import Act, Specification, State, linearisable
from faults.histories.specifications import Account, account, family, strict_family
from faults.report import Report
from faults.site import PASSWORD, Device, Site

_CLIENTS = 4
_ACTS_EACH = 3
_TOGETHER = 8
"""Families at once."""

_GUESSES = 4
"""Passwords presented in one history: the fifth could lock the account, which has its own test."""

_OTHER = "another canary paperclip"


class Recorder:
    """One history under way."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    async def record(
        self,
        asked: tuple[str, ...],
        ask: Callable[[], Awaitable[Answer]],
        read: Callable[[Answer], tuple[str, ...]],
    ) -> Answer:
        """Ask and note; 503 and silence are unknown."""
        began = time.monotonic()
        answer = await ask()
        answered = None if answer.unknown else read(answer)
        self.acts.append(Act(asked, answered, began, time.monotonic()))
        return answer


async def explain_histories(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Make so many histories of families, and a tenth as many of accounts, and explain each.

    Every other family is of an organization without a grace.
    """
    clients = [site.client(report) for _ in range(_CLIENTS * _TOGETHER)]
    for client in clients[len(clients) // 2 :]:
        client.agent = "faults, elsewhere"  # what these do is decided, not routine
    admin = await site.newcomer(role="owner", platform_admin=True)
    done = 0
    while done < rounds:
        report.progress(f"{done} of {rounds} families")
        devices = [
            await site.newcomer(await site.strict() if n % 2 else None)
            for n in range(min(_TOGETHER, rounds - done))
        ]
        await asyncio.gather(
            *(
                _family(
                    report,
                    random.Random(dice.random()),
                    device,
                    clients[n::_TOGETHER],
                    strict_family if n % 2 else family,
                )
                for n, device in enumerate(devices)
            )
        )
        done += len(devices)
    for number in range(max(1, rounds // 10)):
        report.progress(f"{number} of {max(1, rounds // 10)} accounts")
        if number % 100 == 99:
            admin.keep(
                await clients[0].ask("POST", "/auth/refresh", cookie=admin.refresh_token, json={})
            )
        await _account(site, report, random.Random(dice.random()), admin, clients[:_CLIENTS])
    for client in clients:
        client.close()


def _judge(report: Report, what: str, history: list[Act], begin: State, may: Specification) -> None:
    report.rounds += 1
    report.faults["acts in histories"] += len(history)
    if not linearisable(history, begin, may):
        first = min(act.began for act in history)
        told = "; ".join(
            f"{act.began - first:.4f}-{act.ended - first:.4f} {' '.join(act.asked)} ->"
            f" {' '.join(act.answered) if act.answered else '?'}"
            for act in sorted(history, key=lambda act: act.began)
        )
        report.violate("I1", f"no order explains this history of a {what}: {told}")


# --- families -------------------------------------------------------------------------------------


def _generation(token: str) -> str:
    return token.split(".")[1]


async def _family(
    report: Report,
    dice: random.Random,
    device: Device,
    clients: list[Client],
    may: Specification,
) -> None:
    recorder, barrier = Recorder(), asyncio.Event()
    tokens = [device.refresh_token]

    async def refresh(client: Client, token: str) -> None:
        answer = await recorder.record(
            ("refresh", _generation(token)),
            lambda: client.ask("POST", "/auth/refresh", cookie=token, json={}),
            lambda answer: ("ok", _generation(answer.cookie())) if answer.ok else ("refused",),
        )
        if answer.ok and answer.cookie() not in tokens:
            tokens.append(answer.cookie())

    async def end(client: Client) -> None:
        # The bearer is of the session as well: that door needs no living refresh token.
        await recorder.record(
            ("end",),
            lambda: client.ask("POST", "/auth/logout", cookie=tokens[-1], json={}),
            lambda answer: ("ok",) if answer.ok else ("refused",),
        )

    async def one(client: Client, ends: bool) -> None:  # noqa: FBT001 - one of two
        await barrier.wait()
        for number in range(_ACTS_EACH):
            if ends and number == _ACTS_EACH - 1:
                await end(client)
            else:
                await refresh(client, dice.choice(tokens[-3:]))

    ending = dice.random() < 0.5
    tasks = [
        asyncio.create_task(one(client, ending and n == 0)) for n, client in enumerate(clients)
    ]
    barrier.set()
    await asyncio.gather(*tasks)
    # Afterwards, one by one, everything that was ever given out, the newest first.
    for token in sorted(tokens, key=lambda token: -int(_generation(token))):
        await refresh(clients[0], token)
    _judge(report, "family", recorder.acts, 1, may)


# --- accounts -------------------------------------------------------------------------------------


async def _account(  # noqa: C901 - one function per act
    site: Site, report: Report, dice: random.Random, admin: Device, clients: list[Client]
) -> None:
    organization = await site.organization()
    person = await site.person(organization)
    devices = [await site.device(person, organization) for _ in range(2)]
    sessions = {device.session_id: device for device in devices}
    recorder, barrier = Recorder(), asyncio.Event()
    email = person.email

    guesses = iter(range(_GUESSES))
    turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def plain(answer: Answer) -> tuple[str, ...]:
        return ("ok",) if answer.ok else ("refused",)

    async def sign_in(client: Client) -> None:
        password = dice.choice((PASSWORD, _OTHER))
        form = {"email": email, "password": password}
        answer = await recorder.record(
            ("sign-in", password),
            lambda: client.ask("POST", "/auth/login", json=form),
            lambda answer: ("ok", answer.json()["session_id"]) if answer.ok else ("refused",),
        )
        if answer.ok:
            device = Device(person, organization, "", "", "")
            device.keep(answer)
            sessions[device.session_id] = device

    async def refresh(client: Client) -> None:
        device = dice.choice(list(sessions.values()))
        async with turns[device.session_id]:  # an old token would be a theft: that is families'
            answer = await recorder.record(
                ("refresh", device.session_id),
                lambda: client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={}),
                plain,
            )
            device.keep(answer)

    async def sign_out(client: Client) -> None:
        device = dice.choice(list(sessions.values()))
        await recorder.record(
            ("sign-out", device.session_id),
            lambda: client.ask("POST", "/auth/logout", cookie=device.refresh_token, json={}),
            plain,
        )

    async def change(client: Client) -> None:
        device = dice.choice(list(sessions.values()))
        old, new = dice.choice(((PASSWORD, _OTHER), (_OTHER, PASSWORD)))
        body = {"current_password": old, "new_password": new}
        await recorder.record(
            ("change", device.session_id, old, new),
            lambda: client.ask("PUT", "/auth/password", bearer=device.access_token, json=body),
            plain,
        )

    async def disable(client: Client) -> None:
        word = dice.choice(("disable", "enable"))
        path = f"/admin/users/{person.user_id}/{word}"
        await recorder.record(
            (word,),
            lambda: client.ask("POST", path, bearer=admin.access_token, json={}),
            plain,
        )

    acts = [sign_in, sign_in, refresh, refresh, sign_out, change, change, disable]

    async def one(client: Client) -> None:
        await barrier.wait()
        for _ in range(_ACTS_EACH):
            act = dice.choice(acts)
            if act in (sign_in, change) and next(guesses, None) is None:
                act = refresh
            await act(client)

    tasks = [asyncio.create_task(one(client)) for client in clients]
    barrier.set()
    await asyncio.gather(*tasks)
    for device in list(sessions.values()):
        await recorder.record(
            ("refresh", device.session_id),
            lambda device=device: clients[0].ask(  # type: ignore[misc]
                "POST", "/auth/refresh", cookie=device.refresh_token, json={}
            ),
            plain,
        )
    begin = Account(PASSWORD, frozenset(device.session_id for device in devices))
    _judge(report, "account", recorder.acts, begin, account)
