"""/admin: sessions, seen and ended by administrators of their own organization, or across."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.runtime import Runtime
from tests import given

Browser = Callable[..., httpx2.AsyncClient]
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> dict[str, Any]:
    person = await given.a_person(rt, **who)
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    told: dict[str, Any] = answer.json()
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


@pytest.fixture
async def ada(rt: Runtime, browser: Browser) -> tuple[httpx2.AsyncClient, dict[str, Any]]:
    client = browser()
    return client, await signed_in(rt, client, email="ada@acme.example")


async def test_an_admin_lists_and_ends_a_members_session(
    rt: Runtime, client: httpx2.AsyncClient, ada: tuple[httpx2.AsyncClient, dict[str, Any]]
) -> None:
    member, told = ada
    await signed_in(rt, client, email="admin@acme.example", role="admin")
    listed = (await client.get(f"/admin/sessions?user_id={told['user']['id']}")).json()
    assert [item["id"] for item in listed["items"]] == [told["session_id"]]
    answer = await client.delete(f"/admin/sessions/{told['session_id']}")
    assert answer.status_code == 204
    assert (await member.get("/auth/me")).status_code == 401
    assert (await member.post("/auth/refresh", json={})).status_code == 401
    ended = await given.events(rt, "session.ended")
    assert [(e["actor_kind"], str(e["user_id"])) for e in ended] == [("user", told["user"]["id"])]


async def test_all_of_a_person_and_all_of_an_organization(
    rt: Runtime, client: httpx2.AsyncClient, ada: tuple[httpx2.AsyncClient, dict[str, Any]]
) -> None:
    member, told = ada
    mine = await signed_in(rt, client, email="owner@acme.example", role="owner")
    ended = await client.post(f"/admin/users/{told['user']['id']}/end-sessions")
    assert ended.json() == {"ended": 1}
    assert (await member.get("/auth/me")).status_code == 401
    assert (await client.get("/auth/me")).status_code == 200
    ended = await client.post(f"/admin/organizations/{mine['organization']['id']}/end-sessions")
    assert ended.json() == {"ended": 1}
    assert (await client.get("/auth/me")).status_code == 401


@pytest.mark.parametrize("role", ["member", "auditor"])
async def test_others_may_not(
    rt: Runtime,
    client: httpx2.AsyncClient,
    ada: tuple[httpx2.AsyncClient, dict[str, Any]],
    role: str,
) -> None:
    member, told = ada
    await signed_in(rt, client, email="other@acme.example", role=role)
    assert (await client.delete(f"/admin/sessions/{told['session_id']}")).status_code == 403
    assert (await member.get("/auth/me")).status_code == 200


async def test_a_foreign_session_answers_like_none(
    rt: Runtime, client: httpx2.AsyncClient, ada: tuple[httpx2.AsyncClient, dict[str, Any]]
) -> None:
    member, told = ada
    await signed_in(rt, client, email="eve@evil.example", slug="evil", role="owner")
    same = {"x-request-id": "same-for-both"}
    for method, path in (
        ("DELETE", "/admin/sessions/{}"),
        ("GET", "/admin/sessions?user_id={}"),
        ("POST", "/admin/users/{}/end-sessions"),
        ("POST", "/admin/organizations/{}/end-sessions"),
    ):
        name = told["organization" if "organ" in path else "user"]["id"]
        there = told["session_id"] if method == "DELETE" else name
        foreign = await client.request(method, path.format(there), headers=same)
        unknown = await client.request(method, path.format(UNKNOWN), headers=same)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
    assert (await member.get("/auth/me")).status_code == 200


async def test_a_crossing_names_both_organizations(
    rt: Runtime, client: httpx2.AsyncClient, ada: tuple[httpx2.AsyncClient, dict[str, Any]]
) -> None:
    _, told = ada
    root = await signed_in(rt, client, email="root@top.example", slug="top", platform_admin=True)
    await client.get(f"/admin/sessions?user_id={told['user']['id']}")
    await client.delete(f"/admin/sessions/{told['session_id']}")
    crossed = await given.events(rt, "organization.crossed", "session.ended")
    assert [(str(e["tenant_id"]), e["detail"]["crossing_from"]) for e in crossed] == [
        (told["organization"]["id"], root["organization"]["id"])
    ] * 2
