"""The acts that are crashed: how to do one, whether it has happened, and what a retry must do."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from faults.client import Answer, Client
from faults.proxy import Moment, Point
from faults.report import Report
from faults.site import GRACE_SECONDS, PASSWORD, Device, Site
from service.kernel import jose

Outcome: TypeAlias = Literal["done", "not done"]
_MARGIN_SECONDS = 3
NEW_PASSWORD = "another canary paperclip"


class TornError(Exception):
    """Half of an act has happened."""


@dataclass
class Subject:
    """Someone about to act; what the act needs to know again."""

    device: Device
    client: Client
    presented: str = ""
    """The refresh token it comes with."""
    key_id: str = ""
    before: int = 0
    asked_at: float = 0.0
    """When it first presented that token."""

    def acts_in(self, moment: Moment) -> bool:
        """Whether a held transaction is this one's; rotations share theirs."""
        ids = (str(self.device.account.user_id), self.device.session_id, self.key_id)
        handle = jose.decode(self.presented.partition(".")[0])
        tokens = (hashlib.sha256(each).digest() for each in (handle, self.presented.encode()))
        return moment.names(*tokens, *(UUID(each).bytes for each in ids if each))


@dataclass(frozen=True)
class Act:
    """One act.  `marks` are words of the statement in which it locks or begins to write."""

    name: str
    marks: str
    prepare: Callable[[Site, Report], Awaitable[Subject]]
    do: Callable[[Subject], Coroutine[None, None, Answer]]
    look: Callable[[Site, Subject], Awaitable[Outcome]]
    converge: Callable[[Site, Report, Subject, Outcome], Awaitable[None]]
    points: tuple[Point, ...] = ("begin", "inside", "commit", "done")
    queues: bool = False
    """Whether only one at a time can be between its last statement and its COMMIT."""
    alone: bool = False
    """Whether it is one statement and no transaction: there is no inside."""

    def at(self, point: Point, moment: Moment) -> bool:
        """Whether a moment is this point of this act."""
        if moment.point != point:
            return False
        if self.alone:
            return self.marks in moment.statement
        if point == "begin":  # nothing tells whose it is yet
            return moment.statement == "BEGIN"
        if point == "inside":
            return self.marks in moment.statement
        return moment.statement == "COMMIT" and moment.did(self.marks)


def whole(*parts: object) -> Outcome:
    """All of them, or none.  TornError otherwise."""
    if all(parts):
        return "done"
    if any(parts):
        raise TornError(repr(parts))
    return "not done"


async def a_device(site: Site, report: Report) -> Subject:
    """Someone signed in."""
    device = await site.newcomer()
    return Subject(device, site.client(report), device.refresh_token)


# --- rotation -----------------------------------------------------------------------------------


async def _generation(site: Site, session_id: str) -> int:
    return await site.count(
        "SELECT generation FROM auth_families WHERE session_id = $1::text::uuid", session_id
    )


async def prepare_rotation(site: Site, report: Report) -> Subject:
    """Someone with a fresh token."""
    subject = await a_device(site, report)
    subject.before = await _generation(site, subject.device.session_id)
    return subject


async def rotate(subject: Subject) -> Answer:
    """Refresh; the token stays the one that was presented."""
    subject.asked_at = subject.asked_at or time.monotonic()
    cookie = subject.device.refresh_token
    return await subject.client.ask("POST", "/auth/refresh", cookie=cookie, json={})


async def look_rotated(site: Site, subject: Subject) -> Outcome:
    """Compare generations."""
    moved = await _generation(site, subject.device.session_id) - subject.before
    if moved not in (0, 1):
        raise TornError(f"{moved} generations")
    return "done" if moved else "not done"


async def converge_rotation(site: Site, report: Report, subject: Subject, was: Outcome) -> None:
    """The token that was presented works again, its successor too, and nobody was burned.

    Within the grace, that is: where a service took longer to start, a refusal is right.
    """
    device, client = subject.device, subject.client
    if was == "done" and time.monotonic() - subject.asked_at > GRACE_SECONDS - _MARGIN_SECONDS:
        late = "retries after the grace, of which nothing is expected"
        report.figures[late] = report.figures.get(late, 0) + 1
        return
    again = device.keep(await rotate(subject))
    report.expect("I7", again.ok, f"a retry after a lost answer: {again.status}")
    answer = device.keep(await rotate(subject))
    report.expect("I7", answer.ok, f"the successor after a lost answer: {answer.status}")
    burned = await site.events_of(device.account.user_id, "family.burned")
    report.expect("I2", burned == 0, "a lost answer burned a family")
    me = await client.ask("GET", "/auth/me", bearer=device.access_token)
    report.expect("I7", me.ok, f"the access token after a lost answer: {me.status}")


async def prepare_moved(site: Site, report: Report) -> Subject:
    """Someone who comes from elsewhere: that rotation is no routine, and leaves an event."""
    subject = await prepare_rotation(site, report)
    subject.client.agent = "faults, elsewhere"
    return subject


async def look_moved(site: Site, subject: Subject) -> Outcome:
    """The generation and the event."""
    rotated = await look_rotated(site, subject)
    moved = await site.events_of(subject.device.account.user_id, "session.moved")
    return whole(rotated == "done", moved == 1)


# --- sign-in ------------------------------------------------------------------------------------


async def prepare_sign_in(site: Site, report: Report) -> Subject:
    """Someone who has one session already."""
    return await a_device(site, report)


async def sign_in(subject: Subject) -> Answer:
    """Sign in with the password."""
    form = {"email": subject.device.account.email, "password": PASSWORD}
    return await subject.client.ask("POST", "/auth/login", json=form)


async def look_signed_in(site: Site, subject: Subject) -> Outcome:
    """Session, family, device and event."""
    user_id = subject.device.account.user_id
    row = await site.fetch(
        "SELECT (SELECT count(*) FROM auth_sessions WHERE user_id = $1) - 1 AS sessions,"
        " (SELECT count(*) FROM auth_families JOIN auth_sessions USING (session_id)"
        "   WHERE user_id = $1) - 1 AS families,"
        " (SELECT count(*) FROM auth_devices WHERE user_id = $1) AS devices,"
        " (SELECT count(*) FROM auth_eventos WHERE user_id = $1"
        "   AND event_type = 'sign_in.succeeded') - 1 AS events",
        user_id,
    )
    counts = set(row[0].values())
    if counts not in ({0}, {1}):
        raise TornError(repr(row[0]))
    return whole(*row[0].values())


async def converge_sign_in(_site: Site, report: Report, subject: Subject, _was: Outcome) -> None:
    """They get in: a crash is no strike."""
    answer = await sign_in(subject)
    report.expect("I7", answer.ok, f"signing in after a crash: {answer.status}")


# --- sign-out -----------------------------------------------------------------------------------


async def sign_out(subject: Subject) -> Answer:
    """Sign out by the cookie."""
    cookie = subject.device.refresh_token
    return await subject.client.ask("POST", "/auth/logout", cookie=cookie, json={})


async def look_signed_out(site: Site, subject: Subject) -> Outcome:
    """Session, family, revocation and event."""
    (row,) = await site.fetch(
        "SELECT s.ended_at IS NOT NULL AS session, f.status <> 'live' AS family,"
        " EXISTS (SELECT FROM auth_revocations WHERE kind = 'sid' AND value = $1) AS revocation,"
        " EXISTS (SELECT FROM auth_eventos e WHERE e.session_id = s.session_id"
        "          AND event_type = 'session.ended') AS event"
        " FROM auth_sessions s JOIN auth_families f USING (session_id)"
        " WHERE s.session_id = $1::text::uuid",
        subject.device.session_id,
    )
    return whole(*row.values())


async def converge_sign_out(_site: Site, report: Report, subject: Subject, _was: Outcome) -> None:
    """Signed out again: dead at once for its refresh token, within a second for the other."""
    answer = await sign_out(subject)
    report.expect("I7", answer.status == 204, f"signing out after a crash: {answer.status}")
    answer = await rotate(subject)
    report.expect("I2", answer.status == 401, f"a token after sign-out: {answer.status}")
    await refused_soon(report, subject.client, subject.device.access_token)


async def refused_soon(report: Report, client: Client, token: str) -> None:
    """I5: within a second, counted from here."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        asked = loop.time()
        answer = await client.ask("GET", "/auth/me", bearer=token)
        if answer.status == 401:
            report.worst("s until refused", round(asked - began, 3))
            return
        if answer.ok and asked - began > 1:
            report.violate("I5", "a revoked token is accepted after a second")
            return
        if asked - began > 20:
            report.violate("I6", f"no verdict on a revoked token: {answer.status}")
            return


# --- API keys -----------------------------------------------------------------------------------


async def issue_key(subject: Subject) -> Answer:
    """Issue an API key."""
    return await subject.client.ask(
        "POST",
        "/api-keys",
        bearer=subject.device.access_token,
        json={"name": "faults", "scopes": ["agentes"]},
    )


async def look_issued(site: Site, subject: Subject) -> Outcome:
    """Key and event."""
    keys = await site.count(
        "SELECT count(*) FROM auth_api_keys WHERE owner_id = $1", subject.device.account.user_id
    )
    events = await site.events_of(subject.device.account.user_id, "api_key.created")
    if keys != events or keys > 1:
        raise TornError(f"{keys} keys, {events} events")
    return whole(keys)


async def converge_issue(_site: Site, report: Report, subject: Subject, was: Outcome) -> None:
    """Another one can be issued, and the list is what there is."""
    answer = await issue_key(subject)
    report.expect("I7", answer.status == 201, f"issuing after a crash: {answer.status}")
    listed = await subject.client.ask("GET", "/api-keys", bearer=subject.device.access_token)
    expected = 2 if was == "done" else 1
    found = len(listed.json()["items"]) if listed.ok else -1
    report.expect("I7", found == expected, f"{found} keys are listed, not {expected}")


async def prepare_revoke(site: Site, report: Report) -> Subject:
    """Someone with a key."""
    subject = await a_device(site, report)
    answer = await issue_key(subject)
    subject.key_id = answer.json()["id"]
    return subject


async def revoke_key(subject: Subject) -> Answer:
    """Revoke it."""
    path = f"/api-keys/{subject.key_id}/revoke"
    return await subject.client.ask("POST", path, bearer=subject.device.access_token, json={})


async def look_revoked(site: Site, subject: Subject) -> Outcome:
    """Key, revocation and event."""
    (row,) = await site.fetch(
        "SELECT revoked_at IS NOT NULL AS key,"
        " EXISTS (SELECT FROM auth_revocations WHERE kind = 'akid' AND value = $1) AS revocation,"
        " EXISTS (SELECT FROM auth_eventos WHERE event_type = 'api_key.revoked'"
        "          AND detail->>'key_id' = $1) AS event"
        " FROM auth_api_keys WHERE key_id = $1::text::uuid",
        subject.key_id,
    )
    return whole(*row.values())


async def converge_revoke(site: Site, report: Report, subject: Subject, _was: Outcome) -> None:
    """Revoked again, it is revoked once."""
    answer = await revoke_key(subject)
    report.expect("I7", answer.ok, f"revoking after a crash: {answer.status}")
    count = await site.count(
        "SELECT count(*) FROM auth_eventos WHERE event_type = 'api_key.revoked'"
        " AND detail->>'key_id' = $1",
        subject.key_id,
    )
    report.expect("I3", count == 1, f"{count} events of one revocation")


# --- password -----------------------------------------------------------------------------------


async def change_password(subject: Subject) -> Answer:
    """Choose another one."""
    return await subject.client.ask(
        "PUT",
        "/auth/password",
        bearer=subject.device.access_token,
        json={"current_password": PASSWORD, "new_password": NEW_PASSWORD},
    )


async def look_changed(site: Site, subject: Subject) -> Outcome:
    """Hash and event."""
    user_id = subject.device.account.user_id
    changed = await site.count(
        "SELECT (password_changed_at > created_at)::int FROM auth_users WHERE user_id = $1", user_id
    )
    return whole(changed, await site.events_of(user_id, "password.changed"))


async def converge_password(_site: Site, report: Report, subject: Subject, was: Outcome) -> None:
    """The one password that is in force opens."""
    right, wrong = (NEW_PASSWORD, PASSWORD) if was == "done" else (PASSWORD, NEW_PASSWORD)
    for password, status in ((wrong, 401), (right, 200)):
        form = {"email": subject.device.account.email, "password": password}
        answer = await subject.client.ask("POST", "/auth/login", json=form)
        report.expect("I7", answer.status == status, f"a password after a crash: {answer.status}")


BEGINNINGS = (
    Act(
        "rotation",
        "SET generation = f.generation + 1",
        prepare_rotation,
        rotate,
        look_rotated,
        converge_rotation,
        points=("begin", "commit", "done"),
        alone=True,
    ),
    Act(
        "rotation from elsewhere",
        "FOR UPDATE OF s, f",
        prepare_moved,
        rotate,
        look_moved,
        converge_rotation,
    ),
    Act(
        "sign-in",
        "FROM auth_users WHERE user_id = $1 FOR UPDATE",
        prepare_sign_in,
        sign_in,
        look_signed_in,
        converge_sign_in,
    ),
)
ENDS = (
    Act(
        "sign-out",
        "UPDATE auth_sessions",
        a_device,
        sign_out,
        look_signed_out,
        converge_sign_out,
        queues=True,
    ),
    Act(
        "key issue",
        "INSERT INTO auth_api_keys",
        a_device,
        issue_key,
        look_issued,
        converge_issue,
    ),
    Act(
        "key revocation",
        "UPDATE auth_api_keys SET revoked_at",
        prepare_revoke,
        revoke_key,
        look_revoked,
        converge_revoke,
        queues=True,
    ),
    Act(
        "change of password",
        "UPDATE auth_users",
        a_device,
        change_password,
        look_changed,
        converge_password,
    ),
)
