"""The rules: what may happen next, and what must be answered."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from faults.client import Answer, Client
from faults.model.world import Home, Key, Session, Who
from faults.report import Report
from faults.site import HASTY, HASTY_SECONDS, Device, Machine, Site
from service.domain.users import Account
from service.kernel import jose

T = TypeVar("T")

_BOUND_SECONDS = 1.0
_GRACE_SECONDS = 25.0
"""Within this a retry is forgiven for sure."""

_NUMBERS = st.integers(0, 999)


class Ports:
    """What a machine works on: a site in another thread's loop."""

    def __init__(
        self,
        site: Site,
        report: Report,
        loop: asyncio.AbstractEventLoop,
        workers: list[Client],
        admin: Device,
        checker: Machine,
    ) -> None:
        self.site = site
        self.report = report
        self.workers = workers
        self.admin = admin
        self.checker = checker
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that runs there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)


class Difference(AssertionError):  # noqa: N818 - not an error of ours
    """The service and the model part ways."""


def _is_hasty(house: "House") -> bool:
    return any(home.organization.slug.startswith(HASTY) for home in house.homes)


def _has_keys(house: "House") -> bool:
    return bool(house.keys)


class House(RuleBasedStateMachine):
    """Two organizations, three people, and what they do."""

    ports: ClassVar[Ports]

    def __init__(self) -> None:
        super().__init__()
        self.homes: list[Home] = []
        self.people: list[Who] = []
        self.sessions: list[Session] = []
        self.keys: list[Key] = []
        self.trace: list[str] = []
        self.rotated: dict[str, float] = {}
        self.asked_at = 0.0
        self.asked_to_rotate: dict[str, float] = {}

    # --- helpers --------------------------------------------------------------------------

    def ask(self, method: str, path: str, at: int = 0, **given: Any) -> Answer:
        client = self.ports.workers[at % len(self.ports.workers)]
        self.asked_at = time.monotonic()
        answer = self.ports.do(client.ask(method, path, **given))
        self.ports.report.faults["acts of the model"] += 1
        self.trace.append(f"{method} {path} -> {answer.status}")
        return answer

    def must(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            story = "; ".join(self.trace)
            told = f"{what}: {found!r}, the model says {expected!r}; after: {story}"
            self.ports.report.violate("model", told[:3000])
            raise Difference(told)

    def settles(self, what: str, look: Callable[[], object], expected: object) -> None:
        """It must come true within the bound.

        What counts is when it was asked: an answer may be on its way for long.
        """
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            if (found := look()) == expected:
                return
            if asked - began > _BOUND_SECONDS:
                self.must(what, found, expected)
            time.sleep(0.005)

    def pick_session(self, number: int) -> Session:
        """Three times of four one that lives, where any does: with an ended one little happens."""
        live = [session for session in self.sessions if session.live]
        among = live if live and number % 4 else self.sessions
        return among[number // 4 % len(among)]

    def certain(self, session: Session) -> bool:
        """Whether it has a token that was not revoked by hand: whatever is issued is good."""
        return bool(session.access)

    def keep(self, session: Session, answer: Answer) -> None:
        session.access = answer.json()["access_token"]
        self.rotated[session.session_id] = time.monotonic()
        self.asked_to_rotate[session.session_id] = self.asked_at

    def settled(self) -> None:
        """What has ended is known to every worker before anything else is asked."""
        for session in self.sessions:
            if not session.live:
                self.dies(session)

    def dies(self, session: Session) -> None:
        """Every worker refuses its token within the bound."""
        if not session.access:
            return

        def found(worker: Client) -> int:
            asking = worker.ask("GET", "/auth/me", bearer=session.access)
            return self.ports.do(asking).status

        for worker in self.ports.workers:
            self.settles("a token that was revoked", partial(found, worker), 401)
        session.access = ""

    # --- the world ------------------------------------------------------------------------

    @initialize(hasty=st.integers(0, 9))
    def begin(self, hasty: int) -> None:
        async def made() -> list[tuple[Home, Account]]:
            homes = [Home(await self.ports.site.organization()) for _ in range(2)]
            if hasty == 0:
                homes[1] = Home(await self.ports.site.hasty())
            places = (homes[0], homes[0], homes[1])
            return [(home, await self.ports.site.person(home.organization)) for home in places]

        for home, account in self.ports.do(made()):
            self.people.append(Who(account, home))
            if home not in self.homes:
                self.homes.append(home)
        for who in (*self.people, self.people[0]):  # one of them on two devices
            self.arrive(who, who.password)

    def arrive(self, who: Who, password: str) -> None:
        form = {"email": who.account.email, "password": password}
        answer = self.ask("POST", "/auth/login", len(self.trace), json=form)
        opens = who.guess(right=password == who.password) and not who.home.disabled
        self.must("a sign-in", answer.status, 200 if opens else 401)
        if opens:
            session_id = answer.json()["session_id"]
            session = Session(session_id, who, [answer.cookie()], "")
            self.keep(session, answer)
            who.sessions.append(session)
            self.sessions.append(session)

    # --- rules ----------------------------------------------------------------------------

    @rule(number=_NUMBERS, dice=st.integers(0, 11))
    def sign_in(self, number: int, dice: int) -> None:
        if dice > 3 and any(session.live for session in self.sessions):
            return  # hashing is what takes time: other rules come more often
        who = self.people[number % len(self.people)]
        self.arrive(who, who.password if dice else "wrong")

    @rule(number=_NUMBERS, at=_NUMBERS, back=st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 3]))
    def refresh(self, number: int, at: int, back: int) -> None:
        session = self.pick_session(number)
        hasty = session.owner.home.organization.slug.startswith(HASTY)
        oldest = time.monotonic() - _GRACE_SECONDS
        if back >= len(session.tokens) or (back and (hasty or session.superseded(back) < oldest)):
            back = 0
        token = session.tokens[-1 - back]
        answer = self.ask("POST", "/auth/refresh", at, cookie=token, json={})
        given = session.refresh(back)
        self.must(f"a refresh {back} back", answer.status, 200 if given else 401)
        if given == "same":
            self.must("the successor again", answer.cookie(), session.tokens[-1])
        if given == "new":
            self.must("a successor", answer.cookie() in session.tokens, False)
            session.tokens.append(answer.cookie())
            session.since.append(self.asked_at)
        if given:
            rotated = self.rotated[session.session_id]
            self.keep(session, answer)
            if given == "same":
                self.rotated[session.session_id] = rotated
        self.settled()

    @precondition(_is_hasty)
    @rule(late=st.booleans())
    def retry_where_grace_is_short(self, late: bool) -> None:  # noqa: FBT001 - drawn
        found = [s for s in self.people[2].sessions if s.live and len(s.tokens) > 1]
        if not found or self.people[2].cannot_act:
            return
        session = found[0]
        since = time.monotonic() - self.rotated[session.session_id]
        if late:
            time.sleep(max(0.0, 1.4 - since))
        elif since > 0.6:
            return
        token = session.tokens[-2]
        answer = self.ask("POST", "/auth/refresh", cookie=token, json={})
        took = time.monotonic() - self.asked_to_rotate[session.session_id]
        if took > HASTY_SECONDS:  # so slow a machine that either is right
            late = late or answer.status == 401
        self.must("a retry where grace is short", answer.status, 401 if late else 200)
        if late:
            session.end()
            self.settled()

    @rule(number=_NUMBERS, at=_NUMBERS)
    def sign_out(self, number: int, at: int) -> None:
        session = self.pick_session(number)
        answer = self.ask("POST", "/auth/logout", at, cookie=session.tokens[-1], json={})
        self.must("a sign-out", answer.status, 204)
        session.end()
        self.settled()

    @rule(number=_NUMBERS, at=_NUMBERS)
    def sign_out_everywhere(self, number: int, at: int) -> None:
        session = self.pick_session(number)
        answer = self.ask("POST", "/auth/logout-all", at, cookie=session.tokens[-1], json={})
        self.must("a sign-out everywhere", answer.status, 204 if session.live else 401)
        if session.live:
            session.owner.end_all()
        self.settled()

    @rule(number=_NUMBERS, other=_NUMBERS, at=_NUMBERS)
    def end_another_session(self, number: int, other: int, at: int) -> None:
        session, doomed = self.pick_session(number), self.pick_session(other)
        if not (session.live and self.certain(session)):
            return
        path = f"/auth/sessions/{doomed.session_id}"
        answer = self.ask("DELETE", path, at, bearer=session.access)
        own = doomed.owner is session.owner and doomed.live
        self.must("the end of a session", answer.status, 204 if own else 404)
        if own:
            doomed.end()
        self.settled()

    @rule(number=_NUMBERS, at=_NUMBERS)
    def look(self, number: int, at: int) -> None:
        session = self.pick_session(number)
        if not (session.live and self.certain(session)):
            return
        answer = self.ask("GET", "/auth/me", at, bearer=session.access)
        self.must("me", answer.status, 200)
        listed = self.ask("GET", "/auth/sessions", at, bearer=session.access)
        found = {item["id"] for item in listed.json()["items"]}
        live = {one.session_id for one in session.owner.sessions if one.live}
        self.must("one's sessions", found, live)

    @rule(number=_NUMBERS, at=_NUMBERS, dice=st.integers(0, 5))
    def change_password(self, number: int, at: int, dice: int) -> None:
        session = self.pick_session(number)
        who = session.owner
        if dice > 2 or not (session.live and self.certain(session)):
            return
        current = who.password if dice else "wrong"
        body = {"current_password": current, "new_password": who.other_password}
        answer = self.ask("PUT", "/auth/password", at, bearer=session.access, json=body)
        opens = who.guess(right=current == who.password)
        self.must("a change of password", answer.status, 204 if opens else 401)
        if opens:
            who.password, who.other_password = who.other_password, who.password
            who.end_all(kept=session)
        self.settled()

    @rule(number=_NUMBERS, word=st.sampled_from(["disable", "enable", "enable", "unlock"]))
    def administer(self, number: int, word: str) -> None:
        who = self.people[number % len(self.people)]
        path = f"/admin/users/{who.account.user_id}/{word}"
        if word == "unlock":
            path += f"?tenant_id={who.home.organization.tenant_id}"
        self.must("an act of the platform", self.admin(path), 204)
        match word:
            case "disable":
                who.disabled = True
                who.end_all()
            case "enable":
                who.disabled = False
            case _:
                who.failures, who.locked = 0, False
        self.settled()

    @rule(number=_NUMBERS, word=st.sampled_from(["disable", "enable", "enable"]))
    def administer_organizations(self, number: int, word: str) -> None:
        home = self.homes[number % len(self.homes)]
        path = f"/admin/organizations/{home.organization.tenant_id}/{word}"
        self.must("an act of the platform", self.admin(path), 204)
        home.disabled = word == "disable"
        if home.disabled:
            for who in self.people:
                if who.home is home:
                    who.end_all()
        self.settled()

    def admin(self, path: str, body: object = None) -> int:
        body = body or {}
        answer = self.ask("POST", path, bearer=self.ports.admin.access_token, json=body)
        if answer.status == 401:  # fifteen minutes have passed
            cookie = self.ports.admin.refresh_token
            self.ports.admin.keep(self.ask("POST", "/auth/refresh", cookie=cookie, json={}))
            answer = self.ask("POST", path, bearer=self.ports.admin.access_token, json=body)
        return answer.status

    @rule(number=_NUMBERS, dice=st.integers(0, 19))
    def revoke_by_hand(self, number: int, dice: int) -> None:
        kind = {0: "sub", 1: "sid", 2: "jti", 3: "jti", 4: "jti"}.get(dice)
        session = self.pick_session(number)
        if kind is None or not (session.live and session.access):
            return
        claims = msgspec.json.decode(jose.decode(session.access.split(".")[1]))
        body = {"kind": kind, "value": claims[kind]}
        self.must("a revocation by hand", self.admin("/revocations", body), 201)
        match kind:
            case "sid":  # ends the session as well; the others stop tokens alone
                session.end()
            case "jti":
                self.dies(session)
            case _:
                for one in session.owner.sessions:
                    self.dies(one)
        self.settled()

    @rule(number=_NUMBERS, at=_NUMBERS)
    def issue_key(self, number: int, at: int) -> None:
        session = self.pick_session(number)
        if not (session.live and self.certain(session)):
            return
        body = {"name": "model", "scopes": ["agentes"]}
        answer = self.ask("POST", "/api-keys", at, bearer=session.access, json=body)
        if answer.status == 429:
            return
        self.must("the issue of a key", answer.status, 201)
        told = answer.json()
        key = Key(told["id"], told["secret"], session.owner)
        session.owner.keys.append(key)
        self.keys.append(key)

    @precondition(_has_keys)
    @rule(number=_NUMBERS, at=_NUMBERS)
    def verify_key(self, number: int, at: int) -> None:
        key = self.keys[number % len(self.keys)]

        def found() -> object:
            answer = self.ask(
                "POST",
                "/api-keys/verify",
                at,
                bearer=self.ports.checker.access_token,
                json={"key": key.secret},
            )
            return answer.json()["valid"] if answer.ok else answer.status

        self.settles("a key", found, key.good)

    @precondition(_has_keys)
    @rule(number=_NUMBERS, other=_NUMBERS, at=_NUMBERS)
    def revoke_key(self, number: int, other: int, at: int) -> None:
        key, session = self.keys[number % len(self.keys)], self.pick_session(other)
        if not (session.live and self.certain(session)):
            return
        path = f"/api-keys/{key.key_id}/revoke"
        answer = self.ask("POST", path, at, bearer=session.access, json={})
        own = key.owner is session.owner
        self.must("the revocation of a key", answer.status, 200 if own else 404)
        key.revoked = key.revoked or own


def machine(ports: Ports) -> type[House]:
    """Return the machine for a site."""
    return type("House", (House,), {"ports": ports})
