"""A platform administrator may act in another organization, and that organization can read it.

Through every door: the act leaves one event in that organization's trail that names both; where it
cannot be written, nothing is changed and nothing is shown.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2

from service.runtime import Runtime
from tests import given
from tests.attacks.doors import (
    Door,
    an_organization,
    doors,
    everything,
    fresh_slug,
    signed_in,
)

Browser = Callable[..., httpx2.AsyncClient]

NO_CROSSING: dict[str, str] = {
    "DELETE /auth/sessions/{session_id}": "one's own alone: nobody else's is there",
    "GET /admin/secrets/{name}/sealed": "for services alone",
    "GET /admin/secrets/{name}": "without an organization: the platform's own vault",
    "GET /admin/secrets/{name}/versions": "as above",
    "DELETE /admin/secrets/{name}": "as above",
    "DELETE /admin/secrets/{name}/versions/{version}": "as above",
    "GET /admin/users/{user_id}": "without an organization: one's own",
    "PUT /admin/users/{user_id}/role": "as above",
    "POST /admin/users/{user_id}/enable": "an account, which belongs to no organization",
    "POST /admin/users/{user_id}/disable": "as above",
    "POST /admin/users/{user_id}/unlock": "without an organization: one's own",
    "DELETE /admin/users/{user_id}": "as above",
    "POST /admin/users/{user_id}/personal-data/exports": "as above",
    "GET /admin/audit-events/exports/{name}": "as above",
    "DELETE /admin/audit-events/exports/{name}": "as above",
    "GET /admin/audit-events user_id": "narrows one's own trail",
    "GET /admin/audit-events session_id": "as above",
    "POST /auth/organization slug": "for members",
    "POST /revocations =sub user_id": "an account, which belongs to no organization",
    "GET /admin/secrets/{name}/sealed tenant_id": "for services alone",
}
"""Doors through which nobody comes into another organization, and why."""

SEVERAL: dict[str, str] = {
    "DELETE /admin/users/{user_id}/personal-data": "a membership ended, personal fields taken",
}
"""One request, several acts, each with its event."""


UNDONE: dict[str, str] = {
    "POST /admin/organizations/{tenant_id}/enable": "POST /admin/organizations/{tenant_id}/disable",
    "POST /admin/clients/{client_id}/enable": "POST /admin/clients/{client_id}/disable",
}
"""Doors behind which nothing is done unless another was gone through before."""


def crossings() -> list[Door]:
    return [door for door in doors() if str(door) not in NO_CROSSING]


async def crossed(rt: Runtime, there: str, since: int) -> list[dict[str, Any]]:
    """Return what that organization can read of a crossing."""
    return [
        event
        for event in (await given.events(rt))[since:]
        if event["tenant_id"] == UUID(there) and "crossing_from" in event["detail"]
    ]


async def test_every_crossing_leaves_one_event_that_names_both(
    rt: Runtime, browser: Browser
) -> None:
    root = browser()
    home = await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    for door in crossings():
        objects = await an_organization(rt, browser(), browser(), fresh_slug())
        if str(door) in UNDONE:
            other = next(one for one in doors() if str(one) == UNDONE[str(door)])
            assert (await other.ask(root, objects)).status_code == 204
        before = len(await given.events(rt))
        answer = await door.ask(root, objects)
        assert answer.status_code < 300, f"{door}: {answer.status_code} {answer.text}"
        found = await crossed(rt, objects["tenant_id"], before)
        assert {event["detail"]["crossing_from"] for event in found} == {
            home["organization"]["id"]
        }, door
        assert {event["actor_id"] for event in found} == {home["user"]["id"]}, door
        assert len(found) == 1 or str(door) in SEVERAL, (door, found)


async def test_a_crossing_that_cannot_be_recorded_does_not_happen(
    rt: Runtime, browser: Browser
) -> None:
    root = browser()
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    objects = await an_organization(rt, inside := browser(), browser())
    before = await everything(rt)
    logo = (await inside.get(f"/admin/organizations/{objects['tenant_id']}/logo")).content
    kept = (await inside.get("/admin/audit-events/exports")).json()
    async with given.only_rows_where(rt, "auth_eventos", "NOT detail ? 'crossing_from'"):
        for door in crossings():
            answer = await door.ask(root, objects)
            idle = str(door) in UNDONE  # enabled as it is
            assert answer.status_code == (204 if idle else 500), f"{door}: {answer.text}"
            for name, value in objects.items():
                assert name == "version" or value not in answer.text, (door, name)
    assert await everything(rt) == before
    assert (await inside.get(f"/admin/organizations/{objects['tenant_id']}/logo")).content == logo
    assert (await inside.get("/admin/audit-events/exports")).json() == kept


async def test_a_list_across_organizations_can_be_read_of_in_each(
    rt: Runtime, browser: Browser
) -> None:
    root = browser()
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    others = [str(await given.an_organization(rt, slug)) for slug in ("one", "two", "three")]
    person = await given.a_person(rt, "p@one.example", slug="one")
    before = len(await given.events(rt))
    first = (await root.get("/admin/organizations?limit=2")).json()
    shown = {one["id"] for one in first["items"]} & {*others}
    seen = {str(one["tenant_id"]) for one in (await given.events(rt))[before:]}
    assert seen == shown
    await root.get(f"/admin/organizations?limit=9&cursor={first['next_cursor']}")
    events = (await given.events(rt))[before:]
    assert sorted(str(one["tenant_id"]) for one in events) == sorted(others)
    assert {one["event_type"] for one in events} == {"organization.crossed"}
    # Of a person who is not signed in anywhere: that they are a member is shown as well.
    assert (await root.get(f"/admin/sessions?user_id={person.user_id}")).json()["items"] == []
    assert len(await crossed(rt, others[0], before)) == 2


async def test_nobody_who_stays_at_home_is_said_to_cross(rt: Runtime, browser: Browser) -> None:
    root = browser()
    told = await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    for path in ("/admin/users", "/admin/clients", "/admin/audit-events"):
        assert (await root.get(path)).status_code == 200
    member = await given.a_person(rt, "m@top.example", slug="top")
    own = f"?tenant_id={told['organization']['id']}"
    assert (await root.post(f"/admin/users/{member.user_id}/disable{own}")).status_code == 204
    assert not [one for one in await given.events(rt) if "crossing_from" in one["detail"]]
    assert "organization.crossed" not in await given.kinds(rt)
