"""Of the invitations to one address the newest counts, and a member is not invited."""

import asyncio

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.flows.people.test_addresses import Browser, invited, owner

__all__ = ["owner"]


async def accept(client: httpx2.AsyncClient, answer: httpx2.Response) -> int:
    form = {
        "token": answer.json()["link"].partition("#")[2],
        "password": "a fine long password",
    }
    return (await client.post("/auth/invitations/accept", json=form)).status_code


@pytest.mark.parametrize("again", ["new@bücher.example", "NEW@xn--bcher-kva.example"])
async def test_a_second_invitation_replaces_the_first(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser, again: str
) -> None:
    first = await invited(owner, "new@bücher.example")
    elsewhere = await invited(owner, "other@bücher.example")
    second = await invited(owner, again)
    assert (first.status_code, second.status_code) == (201, 201)
    listed = (await owner.get("/admin/invitations")).json()["items"]
    assert {one["id"] for one in listed} == {second.json()["id"], elsewhere.json()["id"]}
    (event,) = await given.events(rt, "invitation.withdrawn")
    assert event["detail"]["invitation_id"] == first.json()["id"]
    assert event["detail"]["replaced_by"] == second.json()["id"]
    assert await accept(browser(), first) == 400
    assert await accept(browser(), second) == 200


async def test_an_invitation_of_another_organization_stays(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    other = await given.a_person(rt, "o@other.example", slug="other", role="owner")
    there = browser()
    told = await there.post("/auth/login", json={"email": other.email, "password": other.password})
    there.headers["authorization"] = f"Bearer {told.json()['access_token']}"
    theirs = await invited(there, "new@acme.example")
    await invited(owner, "new@acme.example")
    assert await accept(browser(), theirs) == 200


async def test_a_member_is_not_invited(rt: Runtime, owner: httpx2.AsyncClient) -> None:
    member = await given.a_person(rt, "member@acme.example")
    stranger = await given.a_person(rt, "s@other.example", slug="other")
    refused = await invited(owner, "Member@ACME.example")
    assert (refused.status_code, refused.json()["fields"]) == (409, ["email"])
    suspended = await owner.post(f"/admin/users/{member.user_id}/disable")
    assert suspended.status_code == 204
    assert (await invited(owner, member.email)).status_code == 409
    assert (await invited(owner, stranger.email)).status_code == 201


async def test_an_owner_s_invitation_is_replaced_by_owners_alone(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    admin = await given.a_person(rt, "admin@acme.example", role="admin")
    client = browser()
    told = await client.post("/auth/login", json={"email": admin.email, "password": admin.password})
    client.headers["authorization"] = f"Bearer {told.json()['access_token']}"
    form = {"email": "new@acme.example", "role": "owner"}
    first = await owner.post("/admin/users", json=form)
    assert (await invited(client, "new@acme.example")).status_code == 403
    assert await given.events(rt, "invitation.withdrawn") == []
    assert await accept(browser(), first) == 200


async def test_of_invitations_made_at_once_one_is_left(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    for number in range(4):
        email = f"new{number}@acme.example"
        made = await asyncio.gather(*(invited(owner, email) for _ in range(4)))
        assert {answer.status_code for answer in made} == {201}
        accepted = [await accept(browser(), answer) for answer in made]
        assert min(accepted) == 200
        assert accepted.count(400) == 3


async def test_who_accepts_while_they_are_invited_again_is_a_member_once(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    for number in range(4):
        email = f"new{number}@acme.example"
        first = await invited(owner, email)
        accepted, again = await asyncio.gather(accept(browser(), first), invited(owner, email))
        # Whoever holds the organization first: a member is not invited, or the link is dead.
        assert (accepted, again.status_code) in {(200, 409), (400, 201)}
