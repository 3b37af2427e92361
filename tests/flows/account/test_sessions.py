"""One's own sessions, organizations and who one is."""

from collections.abc import Callable
from uuid import uuid4

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.http import asking


async def listed(client: httpx2.AsyncClient, answer: httpx2.Response) -> list[dict[str, object]]:
    got = await client.get("/auth/sessions", headers=asking.bearer(answer))
    body = got.json()
    assert (got.status_code, body["next_cursor"]) == (200, None)
    found: list[dict[str, object]] = body["items"]
    return found


async def test_one_sees_each_of_one_s_devices_and_nobody_else_s(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    desk, phone = browser(agent="desk"), browser(ip="2001:db8::5", agent="phone")
    await asking.sign_in(browser(), bob)
    first, second = await asking.sign_in(desk, ada), await asking.sign_in(phone, ada)
    newest, oldest = await listed(desk, first)
    assert newest["id"] == second.json()["session_id"]
    assert oldest["id"] == first.json()["session_id"]
    assert (newest["current"], oldest["current"]) == (False, True)
    assert (newest["address"], newest["agent"]) == ("2001:db8::5", "phone")
    assert (oldest["address"], oldest["agent"]) == ("192.0.2.1", "desk")
    assert str(newest["created_at"]).endswith("Z")
    assert newest["tenant_id"] == str(ada.tenant_id)
    await asking.renew(phone)
    seen = (await listed(desk, first))[0]
    assert str(seen["last_seen_at"]) > str(newest["last_seen_at"])


async def test_a_session_that_is_ended_is_dead_at_once(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada = await given.a_person(rt)
    desk, phone = browser(), browser()
    mine, lost = await asking.sign_in(desk, ada), await asking.sign_in(phone, ada)
    path = f"/auth/sessions/{lost.json()['session_id']}"
    gone = await desk.delete(path, headers=asking.bearer(mine))
    assert (gone.status_code, gone.content) == (204, b"")
    assert await asking.me(phone, lost) == 401
    assert (await asking.renew(phone)).status_code == 401
    assert [one["current"] for one in await listed(desk, mine)] == [True]
    (event,) = await given.events(rt, "session.ended")
    assert event["detail"]["why"] == "ended_by_owner"


async def test_another_s_an_unknown_an_ended_and_no_session_at_all_answer_alike(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    client, other = browser(), browser()
    ended = await asking.sign_in(browser(), ada)
    mine, of_bob = await asking.sign_in(client, ada), await asking.sign_in(other, bob)
    headers = {**asking.bearer(mine), "x-request-id": "the-same-one"}
    ended_id = ended.json()["session_id"]
    await client.delete(f"/auth/sessions/{ended_id}", headers=headers)
    answers = [
        await client.delete(f"/auth/sessions/{one}", headers=headers)
        for one in (of_bob.json()["session_id"], str(uuid4()), ended_id)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    for nonsense in ("1", "null", "%00", "%ff", "' OR 1=1 --", "x" * 5000):
        answer = await client.delete(f"/auth/sessions/{nonsense}", headers=headers)
        assert answer.status_code == 404
    assert await asking.me(other, of_bob) == 200


async def test_signing_out_everywhere_ends_all_of_one_s_and_none_of_another_s(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    clients = [browser() for _ in range(3)]
    answers = [await asking.sign_in(client, ada) for client in clients]
    other = browser()
    of_bob = await asking.sign_in(other, bob)
    out = await clients[0].post("/auth/logout-all", json={})
    assert out.status_code == 204
    assert "Max-Age=0" in asking.set_cookies(out)[asking.REFRESH]
    for client, answer in zip(clients, answers, strict=True):
        assert await asking.me(client, answer) == 401
        assert (await asking.renew(client, asking.cookie(answer))).status_code == 401
    assert await asking.me(other, of_bob) == 200
    (event,) = await given.events(rt, "session.ended")
    assert event["detail"] == {"why": "signed_out_everywhere", "count": 3}


async def test_me_is_who_the_token_stands_for(rt: Runtime, client: httpx2.AsyncClient) -> None:
    ada = await given.a_person(rt, role="owner", platform_admin=True)
    entered = await asking.sign_in(client, ada)
    told = entered.json()
    for _ in range(2):  # remembered, then asked
        answer = (await client.get("/auth/me", headers=asking.bearer(entered))).json()
        assert set(answer) == {
            "user",
            "organization",
            "roles",
            "scopes",
            "session_id",
            "expires_at",
        }
        assert (answer["user"], answer["organization"]) == (told["user"], told["organization"])
        assert answer["roles"] == ["owner", "platform_admin"]
        assert answer["scopes"] == ["agentes", "proxy-ollama"]
        assert answer["session_id"] == told["session_id"]
        rt.profiles._known.clear()


async def test_a_switch_moves_the_session_to_another_organization(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt, role="owner")
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, ada.user_id, other, "auditor")
    rt.clock.freeze(rt.clock.now())
    before = await asking.sign_in(client, ada)
    after = await client.post(
        "/auth/organization", json={"organization": "other"}, headers=asking.bearer(before)
    )
    told = after.json()
    assert after.status_code == 200
    assert told["organization"] == {
        "id": str(other),
        "slug": "other",
        "name": "Other",
        "role": "auditor",
    }
    assert told["session_id"] != before.json()["session_id"]
    claims = rt.tokens.verify(told["access_token"], rt.clock.now())
    assert (claims.tenant_id, claims.roles) == (str(other), ("auditor",))
    assert asking.max_age(after) == asking.max_age(before)
    assert await asking.me(client, before) == 401
    assert (await asking.renew(client, asking.cookie(before))).status_code == 401
    assert (await asking.renew(client)).json()["organization"]["slug"] == "other"
    assert await given.live_families(rt) == 1
    (event,) = await given.events(rt, "organization.switched")
    assert event["detail"] == {"from_tenant_id": str(ada.tenant_id)}


@pytest.mark.parametrize("slug", ["foreign", "nowhere", "closed"])
async def test_a_switch_to_where_one_is_no_member_is_not_found_and_ends_nothing(
    rt: Runtime, client: httpx2.AsyncClient, slug: str
) -> None:
    ada = await given.a_person(rt)
    await given.an_organization(rt, "foreign")
    await given.a_membership(rt, ada.user_id, await given.an_organization(rt, "closed"), "owner")
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_organizations SET disabled_at = now() WHERE slug = 'closed'")
    entered = await asking.sign_in(client, ada)
    refused = await client.post(
        "/auth/organization", json={"organization": slug}, headers=asking.bearer(entered)
    )
    assert refused.status_code == 404
    assert "set-cookie" not in refused.headers
    assert await asking.me(client, entered) == 200
    assert (await asking.renew(client)).status_code == 200
