"""What is issued is good: also in the seconds after a cutoff, at every door that issues a token.

Each act cuts off what was issued before; whoever asks at once is given a token that works, and that
says what holds since the act.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from service.domain.revocations import Kind
from service.flows.shared import cutoff
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.keys import exchange

Browser = Callable[..., httpx2.AsyncClient]
Ask = Callable[[], Awaitable[httpx2.Response]]

CUTOFFS = ("role", "disabled and enabled", "by hand: sub", "by hand: member", "by hand: tenant_id")


async def signed_in(http: httpx2.AsyncClient, person: given.Given, slug: str) -> dict[str, Any]:
    form = {"email": person.email, "password": person.password, "organization": slug}
    answer = await http.post("/auth/login", json=form)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    http.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


async def cut(root: httpx2.AsyncClient, what: str, person: given.Given) -> None:
    """Do what cuts a person off."""
    who, there = person.user_id, person.tenant_id
    asked: dict[str, list[tuple[str, str, dict[str, str] | None]]] = {
        "role": [("PUT", f"/admin/users/{who}/role?tenant_id={there}", {"role": "member"})],
        "disabled and enabled": [
            ("POST", f"/admin/users/{who}/disable", None),
            ("POST", f"/admin/users/{who}/enable", None),
        ],
        "by hand: sub": [("POST", "/revocations", {"kind": "sub", "value": str(who)})],
        "by hand: member": [
            ("POST", "/revocations", {"kind": "sub", "value": str(who), "tenant_id": str(there)})
        ],
        "by hand: tenant_id": [
            ("POST", "/revocations", {"kind": "tenant_id", "value": str(there)})
        ],
    }
    for method, url, body in asked[what]:
        told: dict[str, Any] = {"json": body} if body else {}
        answer = await root.request(method, url, **told)
        assert answer.status_code < 300, answer.text


async def active(checker: Machine, token: str) -> bool:
    told: bool = (await checker.ask("/oauth/introspect", token=token)).json()["active"]
    return told


@pytest.mark.parametrize("what", CUTOFFS)
async def test_what_is_issued_right_after_a_cutoff_is_good(
    rt: Runtime, browser: Browser, what: str
) -> None:
    root = browser()
    admin = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await signed_in(root, admin, "top")
    checker = await a_service(rt, browser(), "revocations:read")
    person = await given.a_person(rt, role="admin")
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, person.user_id, other, "member")
    cookie, form, switcher, plain = browser(), browser(), browser(), browser()
    await signed_in(cookie, person, "acme")
    await signed_in(form, person, "acme")
    await signed_in(switcher, person, "other")
    made = {"name": "k", "scopes": ["agentes"]}
    key = (await cookie.post("/api-keys", json=made)).json()["secret"]
    assert (await exchange(plain, key)).status_code == 200  # it is remembered from here on
    refresh_token = form.cookies["__Host-refresh"]
    grant = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": "console",
    }
    login = {"email": person.email, "password": person.password, "organization": "acme"}
    doors: dict[str, Ask] = {
        "sign-in": lambda: browser().post("/auth/login", json=login),
        "refresh by cookie": lambda: cookie.post("/auth/refresh", json={}),
        "refresh by form": lambda: plain.post("/oauth/token", data=grant),
        "switch": lambda: switcher.post("/auth/organization", json={"organization": "acme"}),
        "exchange": lambda: exchange(plain, key),
    }
    if what == "disabled and enabled":  # their sessions have ended, and their token is dead
        doors = {name: doors[name] for name in ("sign-in", "exchange")}
    if what.startswith("by hand: sub"):  # the token that asks is dead as well
        del doors["switch"]
    await cut(root, what, person)
    answers = dict(
        zip(doors, await asyncio.gather(*(ask() for ask in doors.values())), strict=True)
    )
    for door, answer in answers.items():
        assert answer.status_code == 200, (door, answer.text)
        token = answer.json()["access_token"]
        assert await active(checker, token), door
        if what == "role" and door != "exchange":
            assert given.claims(token)["roles"] == ["member"], door


async def test_who_waited_is_given_what_holds_after_the_wait(rt: Runtime, browser: Browser) -> None:
    """A second change while a token waits for the first: it says what the second left."""
    root, http = browser(), browser()
    admin = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await signed_in(root, admin, "top")
    person = await given.a_person(rt, role="admin")
    await signed_in(http, person, "acme")
    await cut(root, "role", person)
    waiting = asyncio.create_task(http.post("/auth/refresh", json={}))
    await asyncio.sleep(0.05)
    url = f"/admin/users/{person.user_id}/role?tenant_id={person.tenant_id}"
    assert (await root.put(url, json={"role": "auditor"})).status_code == 200
    token = (await waiting).json()["access_token"]
    assert given.claims(token)["roles"] == ["auditor"]
    http.headers["authorization"] = f"Bearer {token}"
    assert (await http.get("/auth/me")).status_code == 200


async def test_who_may_not_act_any_more_after_the_wait_is_given_nothing(
    rt: Runtime, browser: Browser
) -> None:
    root, http = browser(), browser()
    admin = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await signed_in(root, admin, "top")
    person = await given.a_person(rt, role="admin")
    await signed_in(http, person, "acme")
    await cut(root, "role", person)
    waiting = asyncio.create_task(http.post("/auth/refresh", json={}))
    await asyncio.sleep(0.05)
    url = f"/admin/users/{person.user_id}?tenant_id={person.tenant_id}"
    await given.a_person(rt, "owner@acme.example", role="owner")
    assert (await root.delete(url)).status_code == 204
    told = await waiting
    assert (told.status_code, told.headers.get("retry-after") is not None) == (503, True)
    assert (await http.post("/auth/refresh", json={})).status_code == 401


async def test_a_cutoff_far_ahead_is_told_and_not_waited_for(rt: Runtime) -> None:
    async def again(_: object) -> None:
        raise AssertionError("it does not wait")

    at = rt.clock.now()
    with pytest.raises(Refused) as refused:
        await cutoff.after_cutoffs(
            rt, at, None, cutoff=lambda *_: at + 60 * given.A_SECOND, again=again
        )
    assert refused.value.reason is Reason.UNAVAILABLE
    assert refused.value.retry_after in (60, 61)


async def test_nothing_waits_where_nothing_is_cut_off(rt: Runtime) -> None:
    async def again(_: object) -> None:
        raise AssertionError("it does not read again")

    at = rt.clock.now()
    for before in (None, at - 2 * given.A_SECOND):
        told = await cutoff.after_cutoffs(
            rt, at, None, cutoff=lambda *_, before=before: before, again=again
        )
        assert told == (at, None)


async def late(rt: Runtime) -> None:
    """Cut a person off, and commit when that cutoff is over."""
    async with rt.pg.decision() as tx:
        await cutoff.cut_off(rt, tx, Kind.SUB, "late", None, "a long act")
        rt.clock.advance(5 * given.A_SECOND)


async def test_a_commit_that_comes_after_its_cutoff_cuts_off_again(rt: Runtime) -> None:
    await late(rt)
    first, second = rt.revocations.memory.after(0)
    assert (first.kind, first.value, first.reason) == (second.kind, second.value, second.reason)
    assert first.cutoff is not None
    assert second.cutoff is not None
    assert first.cutoff < rt.clock.now() < second.cutoff
    assert second.expires_at - second.cutoff == first.expires_at - first.cutoff


async def test_what_cannot_be_cut_off_again_is_not_acknowledged(rt: Runtime) -> None:
    async with given.refusing_rows(rt, "auth_revocations", "53100", "NEW.seq > 1"):
        with pytest.raises(Refused) as caught:
            await late(rt)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert len(rt.revocations.memory.after(0)) == 1
