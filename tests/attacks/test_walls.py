"""Walls: another organization's objects answer exactly like objects that do not exist (A38).

Every route that names an object, by its path, its query or its body, is tried by the owner of
another organization with an object that is there and with one that is not: same status, same body.
"""

from collections.abc import Callable

import httpx2
import pytest

from service.http.edge import Edge
from service.runtime import Runtime
from tests import given
from tests.attacks.doors import (
    NOT_AN_OBJECT,
    Door,
    an_organization,
    doors,
    everything,
    nothing,
    signed_in,
)
from tests.clients import a_service

Browser = Callable[..., httpx2.AsyncClient]
SAME = {"headers": {"x-request-id": "same-for-both"}}

FILTERS = frozenset({"user_id", "session_id"})
"""Of `GET /admin/audit-events`: among one's own events they find nothing, which is no 404."""


def narrows(door: Door) -> bool:
    return door.path == "/admin/audit-events" and bool(FILTERS & {*door.query})


async def test_every_door_with_a_foreign_object_answers_like_one_with_none(
    rt: Runtime, browser: Browser
) -> None:
    foreign = await an_organization(rt, inside := browser(), browser())
    outside = browser()
    eve = await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    trails = ("auth_eventos",)
    before, tried = await everything(rt, but=trails), 0
    for door in doors():
        there = await door.ask(outside, foreign, **SAME)
        nowhere = await door.ask(outside, nothing(), **SAME)
        assert there.status_code == nowhere.status_code, door
        assert there.content == nowhere.content, door
        allowed = (200,) if narrows(door) else (403, 404)
        assert there.status_code in allowed, f"{door}: {there.status_code} {there.text}"
        tried += 1
    assert tried >= 50
    assert await everything(rt, but=trails) == before
    hers = [one for one in await given.events(rt) if one["actor_id"] == eve["user"]["id"]]
    assert foreign["tenant_id"] not in {str(one["tenant_id"]) for one in hers}
    assert (await inside.get("/auth/me")).status_code == 200
    assert (await inside.get(f"/api-keys/{foreign['key_id']}")).status_code == 200


async def test_what_is_one_s_own_opens(rt: Runtime, browser: Browser) -> None:
    """The doors of the walk are doors: whoever belongs inside is told of the object."""
    inside = browser()
    own = await an_organization(rt, inside, browser())
    for door in doors():
        if door.method == "GET" and not door.path.startswith("/auth/"):
            answer = await door.ask(inside, own)
            sealed = door.path.endswith("/sealed")  # for services alone
            assert answer.status_code == (403 if sealed else 200), f"{door}: {answer.text}"


def test_each_reason_is_for_a_route_that_is_there() -> None:
    assert not NOT_AN_OBJECT.keys() & {door.name for door in doors() if not door.query}


async def test_lists_show_only_one_s_own(rt: Runtime, app: Edge, browser: Browser) -> None:
    foreign = await an_organization(rt, browser(), browser())
    outside = browser()
    await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    for route in app.app.routes:
        if "GET" not in route.methods or "{" in route.path_format:
            continue
        answer = await outside.get(route.path_format)
        for name, value in foreign.items():
            assert name == "version" or value not in answer.text, route.path_format


@pytest.mark.parametrize("path", ["/revocations", "/oauth/introspect"])
async def test_a_service_of_one_organization_sees_no_other(
    rt: Runtime, browser: Browser, path: str
) -> None:
    inside = browser()
    told = await signed_in(rt, inside, email="ada@acme.example", role="owner")
    await given.an_organization(rt, "evil")
    spy = await a_service(rt, browser(), "revocations:read", organization="evil")
    token = inside.headers["authorization"].removeprefix("Bearer ")
    if path == "/oauth/introspect":
        assert (await spy.ask(path, token=token)).json() == {"active": False}
    await inside.post("/auth/logout")
    assert told["session_id"] not in (await spy.get("/revocations")).text
