"""/admin/users and /admin/organizations: people kept, walls kept, the last owner kept."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest

from service.domain import invitations, organizations, users
from service.kernel.ids import TenantId, UserId
from service.runtime import Runtime
from tests import given
from tests.keys import an_owner, exchange, use

Browser = Callable[..., httpx2.AsyncClient]
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> dict[str, Any]:
    person = await given.a_person(rt, **who)
    return await sign_in(client, person.email, person.password)


async def sign_in(client: httpx2.AsyncClient, email: str, password: str) -> dict[str, Any]:
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    await signed_in(rt, client, email="owner@acme.example", role="owner")
    return client


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    await signed_in(rt, client, email="root@top.example", slug="top", platform_admin=True)
    return client


async def test_an_invitation_makes_a_member_once(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    answer = await owner.post("/admin/users", json={"email": "New@Acme.example", "role": "admin"})
    assert answer.status_code == 201
    token = answer.json()["link"].partition("#")[2]
    form = {"token": token, "password": "a fine long password", "name": "Nova"}
    accepted = await client.post("/auth/invitations/accept", json=form)
    assert accepted.json()["organization"] == "acme"
    told = await sign_in(client, "new@acme.example", "a fine long password")
    assert told["organization"]["role"] == "admin"
    again = await client.post("/auth/invitations/accept", json=form)
    assert (again.status_code, again.json()["fields"]) == (400, ["token"])
    assert "invitation.created" in await given.kinds(rt)


async def test_an_invitation_to_somebody_known_wants_them_signed_in(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    person = await given.a_person(rt, "eve@evil.example", slug="evil")
    answer = await owner.post("/admin/users", json={"email": person.email})
    token = answer.json()["link"].partition("#")[2]
    refused = await client.post(
        "/auth/invitations/accept", json={"token": token, "password": "a takeover password"}
    )
    assert refused.status_code == 401
    await sign_in(client, person.email, person.password)
    accepted = await client.post("/auth/invitations/accept", json={"token": token})
    assert accepted.status_code == 200
    switched = await client.post("/auth/organization", json={"organization": "acme"})
    assert switched.status_code == 200


async def test_somebody_who_is_in_no_organization_comes_back_by_a_link_and_their_password(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """They cannot sign in, so that no link could ever be accepted by who was removed everywhere."""
    person = await given.a_person(rt, "was@acme.example")
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_memberships WHERE user_id = $1", person.user_id)
    link = (await owner.post("/admin/users", json={"email": person.email})).json()["link"]
    form = {"token": link.partition("#")[2], "password": person.password}
    form_of_sign_in = {"email": person.email, "password": person.password}
    assert (await client.post("/auth/login", json=form_of_sign_in)).status_code == 401
    wrong = await client.post("/auth/invitations/accept", json={**form, "password": "not theirs"})
    assert wrong.status_code == 401
    assert (await client.post("/auth/invitations/accept", json=form)).status_code == 200
    assert (await client.post("/auth/login", json=form_of_sign_in)).status_code == 200
    assert [e["detail"]["why"] for e in await given.events(rt, "sign_in.failed")] == [
        "no_membership",
        "wrong_password",
    ]


async def test_guesses_by_a_link_count_against_the_account(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    person = await given.a_person(rt, "known@evil.example", slug="evil")
    link = (await owner.post("/admin/users", json={"email": person.email})).json()["link"]
    form = {"token": link.partition("#")[2], "password": "not theirs"}
    for _ in range(5):
        assert (await client.post("/auth/invitations/accept", json=form)).status_code == 401
    right = {**form, "password": person.password}
    assert (await client.post("/auth/invitations/accept", json=right)).status_code == 401
    assert (await given.kinds(rt)).count("lockout.started") == 1


async def test_an_expired_invitation_is_none(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    answer = await owner.post("/admin/users", json={"email": "new@acme.example"})
    token = answer.json()["link"].partition("#")[2]
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_invitations SET expires_at = $1", rt.clock.now())
    refused = await client.post(
        "/auth/invitations/accept", json={"token": token, "password": "a fine long password"}
    )
    assert refused.status_code == 400


async def test_open_invitations_are_listed_and_a_withdrawn_one_opens_nothing(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    made = [
        (await owner.post("/admin/users", json={"email": f"n{number}@acme.example"})).json()
        for number in range(3)
    ]
    page = (await owner.get("/admin/invitations?limit=2")).json()
    rest = (await owner.get(f"/admin/invitations?cursor={page['next_cursor']}")).json()
    listed = page["items"] + rest["items"]
    assert [one["email"] for one in listed] == [one["email"] for one in made]
    me = (await owner.get("/auth/me")).json()["user"]["id"]
    assert {one["invited_by"] for one in listed} == {me}
    assert not {"link", "token", "token_hash"} & listed[0].keys()
    withdrawn = await owner.delete(f"/admin/invitations/{made[0]['id']}")
    assert (withdrawn.status_code, withdrawn.content) == (204, b"")
    assert (await owner.delete(f"/admin/invitations/{made[0]['id']}")).status_code == 404
    token = made[0]["link"].partition("#")[2]
    form = {"token": token, "password": "a fine long password"}
    assert (await client.post("/auth/invitations/accept", json=form)).status_code == 400
    accepted = {**form, "token": made[1]["link"].partition("#")[2]}
    assert (await client.post("/auth/invitations/accept", json=accepted)).status_code == 200
    left = (await owner.get("/admin/invitations")).json()["items"]
    assert [one["id"] for one in left] == [made[2]["id"]]
    assert (await owner.delete(f"/admin/invitations/{made[1]['id']}")).status_code == 404
    (event,) = await given.events(rt, "invitation.withdrawn")
    assert event["detail"] == {"role": "member", "invitation_id": made[0]["id"]}


async def test_an_invitation_accepted_while_it_is_withdrawn_is_one_or_the_other(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    outcomes = set()
    for number in range(8):
        made = (await owner.post("/admin/users", json={"email": f"n{number}@acme.example"})).json()
        token = made["link"].partition("#")[2]
        form = {"token": token, "password": "a fine long password"}
        accepted, withdrawn = await asyncio.gather(
            browser().post("/auth/invitations/accept", json=form),
            owner.delete(f"/admin/invitations/{made['id']}"),
        )
        outcomes.add((accepted.status_code, withdrawn.status_code))
    assert outcomes <= {(200, 404), (400, 204)}


async def test_who_sees_and_withdraws_invitations(
    rt: Runtime, owner: httpx2.AsyncClient, root: httpx2.AsyncClient, browser: Browser
) -> None:
    there = (await owner.get("/auth/me")).json()["organization"]["id"]
    high = (
        await owner.post("/admin/users", json={"email": "o@acme.example", "role": "owner"})
    ).json()
    low = (await owner.post("/admin/users", json={"email": "m@acme.example"})).json()
    seen = {}
    for role in ("member", "auditor", "admin"):
        who = browser()
        await signed_in(rt, who, email=f"{role}@acme.example", role=role)
        seen[role] = [
            (await who.get("/admin/invitations")).status_code,
            (await who.delete(f"/admin/invitations/{high['id']}")).status_code,
            (await who.delete(f"/admin/invitations/{low['id']}")).status_code,
        ]
    assert seen == {
        "member": [403, 403, 403],
        "auditor": [200, 403, 403],
        "admin": [200, 403, 204],
    }
    assert (await root.get("/admin/invitations")).json()["items"] == []
    assert len((await root.get(f"/admin/invitations?tenant_id={there}")).json()["items"]) == 1
    assert (await root.delete(f"/admin/invitations/{high['id']}")).status_code == 204
    (event, _) = reversed(await given.events(rt, "invitation.withdrawn"))
    assert (str(event["tenant_id"]), "crossing_from" in event["detail"]) == (there, True)
    assert len(await given.events(rt, "organization.crossed")) == 1


async def test_suspending_a_member_stops_tokens_and_sessions_here_and_nowhere_else(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    here, there = browser(), browser()
    person = await given.a_person(rt, "ada@acme.example")
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, person.user_id, other, "member")
    await sign_in(here, person.email, person.password)
    answer = await there.post(
        "/auth/login",
        json={"email": person.email, "password": person.password, "organization": "other"},
    )
    there.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    assert (await owner.post(f"/admin/users/{person.user_id}/disable")).status_code == 204
    assert (await here.get("/auth/me")).status_code == 401
    assert (await here.post("/auth/refresh", json={})).status_code == 401
    assert (await there.get("/auth/me")).status_code == 200
    refused = await here.post(
        "/auth/login",
        json={"email": person.email, "password": person.password, "organization": "acme"},
    )
    assert refused.status_code == 401
    assert (await owner.post(f"/admin/users/{person.user_id}/enable")).status_code == 204
    await sign_in(here, person.email, person.password)


@pytest.mark.parametrize("way", ["suspended", "removed"])
async def test_api_keys_and_what_they_begot_go_with_the_membership(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser, client: httpx2.AsyncClient, way: str
) -> None:
    await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    member = await an_owner(rt, browser(), "mem@acme.example", platform_admin=True, role="member")
    made = await member.create(scopes=["revocations:read"])
    token = (await exchange(client, made["secret"])).json()["access_token"]
    assert (await use(client, made["secret"]), await use(client, token)) == (200, 200)
    path = f"/admin/users/{member.person.user_id}"
    if way == "suspended":
        assert (await owner.post(f"{path}/disable")).status_code == 204
    else:
        assert (await owner.delete(path)).status_code == 204
    assert (await use(client, made["secret"]), await use(client, token)) == (401, 401)
    assert (await exchange(client, made["secret"])).status_code == 400


async def test_a_key_ends_with_its_owner_s_membership_for_good(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser, client: httpx2.AsyncClient
) -> None:
    link = (await owner.post("/admin/users", json={"email": "mem@acme.example"})).json()["link"]
    member = await an_owner(rt, browser(), "mem@acme.example", role="member")
    keys = [await member.create() for _ in range(2)]
    who = member.person.user_id
    assert (await owner.delete(f"/admin/users/{who}")).status_code == 204
    shown = [(await owner.get(f"/api-keys/{key['id']}")).json() for key in keys]
    assert all(key["revoked_at"] for key in shown)
    revoked = await given.events(rt, "api_key.revoked")
    assert {one["detail"]["key_id"] for one in revoked} == {key["id"] for key in keys}
    async with rt.pg.reading() as tx:
        told = await tx.fetch("SELECT value FROM auth_revocations WHERE kind = 'akid'")
    assert {row["value"] for row in told} == {key["id"] for key in keys}
    # A link of before opens nothing; a new one makes a member, and no key works again.
    form = {"token": link.partition("#")[2], "password": given.PASSWORD}
    assert (await client.post("/auth/invitations/accept", json=form)).status_code == 400
    again = (await owner.post("/admin/users", json={"email": "mem@acme.example"})).json()["link"]
    form["token"] = again.partition("#")[2]
    assert (await client.post("/auth/invitations/accept", json=form)).status_code == 200
    for key in keys:
        assert (await exchange(client, key["secret"])).status_code == 400
    assert (await member.ask("POST", "/auth/refresh", json={})).status_code == 401


async def test_no_key_is_made_behind_the_end_of_a_membership(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    for n in range(5):
        member = await an_owner(rt, browser(), f"mem{n}@acme.example", role="member")
        body = {"name": "k", "scopes": ["agentes"]}
        key = await member.create()
        await asyncio.gather(
            owner.delete(f"/admin/users/{member.person.user_id}"),
            member.ask("POST", "/api-keys", json=body),
            member.ask("POST", f"/api-keys/{key['id']}/rotate", json={}),
        )
        async with rt.pg.reading() as tx:
            alive = await tx.fetchval(
                "SELECT count(*) FROM auth_api_keys WHERE owner_id = $1 AND revoked_at IS NULL",
                member.person.user_id,
            )
        assert alive == 0


@pytest.mark.parametrize("way", ["suspended", "removed", "demoted", "disabled"])
async def test_an_invitation_falls_with_whoever_sent_it(
    rt: Runtime,
    owner: httpx2.AsyncClient,
    root: httpx2.AsyncClient,
    browser: Browser,
    client: httpx2.AsyncClient,
    way: str,
) -> None:
    second = browser()
    told = await signed_in(rt, second, email="second@acme.example", role="owner")
    answer = await second.post("/admin/users", json={"email": "x@acme.example", "role": "owner"})
    token = answer.json()["link"].partition("#")[2]
    path = f"/admin/users/{told['user']['id']}"
    done = {
        "suspended": lambda: owner.post(f"{path}/disable"),
        "removed": lambda: owner.delete(path),
        "demoted": lambda: owner.put(f"{path}/role", json={"role": "member"}),
        "disabled": lambda: root.post(f"{path}/disable"),
    }
    assert (await done[way]()).status_code in (200, 204)
    form = {"token": token, "password": "a fine long password", "name": "Nova"}
    refused = await client.post("/auth/invitations/accept", json=form)
    assert (refused.status_code, refused.json()["fields"]) == (400, ["token"])


async def test_a_disabled_account_is_dead_everywhere(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client)
    who = told["user"]["id"]
    assert (await root.post(f"/admin/users/{who}/disable")).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401
    assert (await client.post("/auth/refresh", json={})).status_code == 401
    assert await given.live_families(rt) == 1  # the administrator's own
    assert (await root.post(f"/admin/users/{who}/enable")).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401
    assert (await client.post("/auth/refresh", json={})).status_code == 401
    await sign_in(client, "ada@acme.example", given.PASSWORD)


async def test_a_role_taken_away_stops_its_tokens_and_refresh_brings_the_new_one(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client, email="admin@acme.example", role="admin")
    who = told["user"]["id"]
    changed = await owner.put(f"/admin/users/{who}/role", json={"role": "member"})
    assert changed.json()["role"] == "member"
    assert (await client.get("/auth/me")).status_code == 401
    rt.clock.advance(3 * given.A_SECOND)
    renewed = await client.post("/auth/refresh", json={})
    assert renewed.json()["organization"]["role"] == "member"
    client.headers["authorization"] = f"Bearer {renewed.json()['access_token']}"
    assert (await client.get("/auth/me")).json()["roles"] == ["member"]
    assert (await client.get("/admin/users")).status_code == 403


async def test_what_is_granted_while_a_change_of_role_waits_dies_with_the_old_role(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client, email="admin@acme.example", role="admin")
    path = f"/admin/users/{told['user']['id']}/role"
    async with rt.pg.decision() as tx:
        await organizations.lock(tx, TenantId(UUID(told["organization"]["id"])))
        change = asyncio.create_task(owner.put(path, json={"role": "member"}))
        await asyncio.sleep(1.1)  # so that the next token bears a later second than the change
        renewed = (await client.post("/auth/refresh", json={})).json()
    assert (await change).status_code == 200
    assert renewed["organization"]["role"] == "admin"
    client.headers["authorization"] = f"Bearer {renewed['access_token']}"
    assert (await client.get("/admin/users")).status_code == 401


async def test_the_last_owner_stays(
    rt: Runtime, owner: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    me = (await owner.get("/auth/me")).json()
    who, there = me["user"]["id"], me["organization"]["id"]
    tries = [
        await owner.put(f"/admin/users/{who}/role", json={"role": "member"}),
        await owner.post(f"/admin/users/{who}/disable"),
        await owner.delete(f"/admin/users/{who}"),
        await root.post(f"/admin/users/{who}/disable"),
        await root.delete(f"/admin/users/{who}?tenant_id={there}"),
    ]
    assert [answer.status_code for answer in tries] == [409] * 5
    assert (await owner.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("way", ["demoted", "suspended", "removed"])
async def test_two_owners_who_take_each_other_away_at_once_leave_one(
    rt: Runtime, browser: Browser, way: str
) -> None:
    """In turns as well as at once: whoever has just lost the role takes nobody's."""
    for number in range(6):
        slug = f"place{number}"
        pair = [browser(), browser()]
        ids = [
            (await signed_in(rt, who, email=f"{n}@{slug}.example", slug=slug, role="owner"))
            for n, who in enumerate(pair)
        ]
        there = TenantId(UUID(ids[0]["organization"]["id"]))
        acts: dict[str, Callable[[httpx2.AsyncClient, str], Any]] = {
            "demoted": lambda who, path: who.put(f"{path}/role", json={"role": "admin"}),
            "suspended": lambda who, path: who.post(f"{path}/disable"),
            "removed": lambda who, path: who.delete(path),
        }
        answers = await asyncio.gather(
            *(
                acts[way](who, f"/admin/users/{other['user']['id']}")
                for who, other in zip(pair, reversed(ids), strict=True)
            )
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] in (200, 204), statuses
        assert statuses[1] in (401, 404, 409), statuses
        async with rt.pg.reading() as tx:
            assert await users.count_owners(tx, there) == 1


async def test_whoever_is_demoted_while_they_invite_invites_nobody(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    """The invitation would outlive the role that allowed it."""
    second = browser()
    told = await signed_in(rt, second, email="second@acme.example", role="owner")
    there, who = TenantId(UUID(told["organization"]["id"])), UserId(UUID(told["user"]["id"]))
    async with rt.pg.decision() as tx:
        await organizations.lock(tx, there)
        form = {"email": "accomplice@acme.example", "role": "owner"}
        inviting = asyncio.create_task(second.post("/admin/users", json=form))
        promoting = asyncio.create_task(
            second.put(f"/admin/users/{who}/role", json={"role": "owner"})
        )
        await asyncio.sleep(0.3)
        await users.change_role(tx, there, who, "member")
        await invitations.withdraw(tx, there, who, rt.clock.now())
    assert [(await one).status_code for one in (inviting, promoting)] == [401, 401]
    assert (await owner.get("/admin/invitations")).json()["items"] == []
    async with rt.pg.reading() as tx:
        assert await users.count_owners(tx, there) == 1


async def test_a_link_followed_by_many_at_once_opens_once(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    made = (await owner.post("/admin/users", json={"email": "new@acme.example"})).json()
    token = made["link"].partition("#")[2]
    answers = await asyncio.gather(
        *(
            browser().post(
                "/auth/invitations/accept",
                json={"token": token, "password": f"a fine long password {number}"},
            )
            for number in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert (await given.kinds(rt)).count("membership.created") == 1


async def test_a_lifted_lockout_lets_the_right_password_in(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    bob = await given.a_person(rt, "bob@acme.example")
    wrong = {"email": bob.email, "password": "not the password"}
    for _ in range(6):
        assert (await browser().post("/auth/login", json=wrong)).status_code == 401
    right = {"email": bob.email, "password": bob.password}
    assert (await browser().post("/auth/login", json=right)).status_code == 401
    assert (await owner.post(f"/admin/users/{bob.user_id}/unlock")).status_code == 204
    await sign_in(browser(), bob.email, bob.password)
    (lifted,) = await given.events(rt, "lockout.lifted")
    assert (lifted["user_id"], lifted["tenant_id"]) == (bob.user_id, bob.tenant_id)


async def test_an_admin_does_not_lift_the_lockout_of_an_owner(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """It would give them as many guesses at an owner's password as they like."""
    me = (await owner.get("/auth/me")).json()["user"]["id"]
    admin = await signed_in(rt, client, email="admin@acme.example", role="admin")
    assert (await client.post(f"/admin/users/{me}/unlock")).status_code == 403
    assert (await owner.post(f"/admin/users/{admin['user']['id']}/unlock")).status_code == 204
    assert await given.kinds(rt) == ["sign_in.succeeded", "sign_in.succeeded", "lockout.lifted"]


async def test_lockouts_are_lifted_a_few_times_an_hour(
    rt: Runtime, owner: httpx2.AsyncClient
) -> None:
    """An account is one, and its password good everywhere: who may unlock it may not try it all."""
    bob, eve = [await given.a_person(rt, f"{name}@acme.example") for name in ("bob", "eve")]
    answers = [await owner.post(f"/admin/users/{bob.user_id}/unlock") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [204] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 3000
    assert (await owner.post(f"/admin/users/{eve.user_id}/unlock")).status_code == 204


async def test_only_owners_make_and_unmake_owners(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = (await owner.get("/auth/me")).json()
    me, session = told["user"]["id"], told["session_id"]
    admin = await signed_in(rt, client, email="admin@acme.example", role="admin")
    tries = [
        await client.post(f"/admin/users/{me}/end-sessions"),
        await client.delete(f"/admin/sessions/{session}"),
        await client.post("/revocations", json={"kind": "sid", "value": session}),
        await client.put(f"/admin/users/{admin['user']['id']}/role", json={"role": "owner"}),
        await client.put(f"/admin/users/{me}/role", json={"role": "member"}),
        await client.delete(f"/admin/users/{me}"),
        await client.post("/admin/users", json={"email": "x@y.example", "role": "owner"}),
    ]
    assert [answer.status_code for answer in tries] == [403] * 7
    assert (await owner.get("/auth/me")).status_code == 200
    assert (await owner.post("/auth/refresh", json={})).status_code == 200


async def test_a_disabled_organization_is_silent(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client)
    there = told["organization"]["id"]
    assert (await root.post(f"/admin/organizations/{there}/disable")).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401
    assert (await client.post("/auth/refresh", json={})).status_code == 401
    refused = await client.post(
        "/auth/login", json={"email": "ada@acme.example", "password": given.PASSWORD}
    )
    assert refused.status_code == 401
    assert (await root.post(f"/admin/organizations/{there}/enable")).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401
    assert (await client.post("/auth/refresh", json={})).status_code == 401
    await sign_in(client, "ada@acme.example", given.PASSWORD)


async def test_lifetimes_are_overridden_within_bounds(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client)
    path = f"/admin/organizations/{told['organization']['id']}"
    wild = await root.put(path, json={"policy": {"access_token_ttl": 86_400}})
    assert (wild.status_code, wild.json()["fields"]) == (400, ["policy"])
    unknown = await root.put(path, json={"policy": {"is_admin": 1}})
    assert unknown.status_code == 400
    kept = await root.put(path, json={"policy": {"access_token_ttl": 120}})
    assert kept.json()["policy"] == {"access_token_ttl": 120}
    assert (await sign_in(client, "ada@acme.example", given.PASSWORD))["expires_in"] == 120


async def test_foreign_people_answer_like_nobody(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    foreign = await signed_in(rt, client, email="eve@evil.example", slug="evil")
    same = {"x-request-id": "same-for-both"}
    for method, path, body in (
        ("GET", "/admin/users/{}", None),
        ("PUT", "/admin/users/{}/role", {"role": "member"}),
        ("POST", "/admin/users/{}/disable", None),
        ("POST", "/admin/users/{}/enable", None),
        ("POST", "/admin/users/{}/unlock", None),
        ("DELETE", "/admin/users/{}", None),
        ("GET", "/admin/users?tenant_id={}", None),
        ("GET", "/admin/organizations/{}", None),
    ):
        there = foreign["organization" if "organ" in path else "user"]["id"]
        answers = [
            await owner.request(method, path.format(name), json=body, headers=same)
            for name in (there, UNKNOWN)
        ]
        assert {answer.status_code for answer in answers} == {404}, path
        assert answers[0].content == answers[1].content
    assert (await client.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("member", ["tenant_id", "user_id", "is_admin", "platform_admin", "id"])
async def test_mass_assignment_is_refused_by_name(owner: httpx2.AsyncClient, member: str) -> None:
    answer = await owner.post("/admin/users", json={"email": "x@y.example", member: "x"})
    assert (answer.status_code, answer.json()["fields"]) == (400, [member])


async def test_pages_of_people_join(rt: Runtime, owner: httpx2.AsyncClient) -> None:
    for number in range(5):
        await given.a_person(rt, f"p{number}@acme.example")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await owner.get(f"/admin/users?limit=2{cursor}")).json()
        seen += [item["email"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 6
    forged = await owner.get("/admin/users?cursor=AAAA")
    assert forged.json()["fields"] == ["cursor"]


async def test_an_invitation_that_is_accepted_while_its_person_is_erased_waits_in_no_circle(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    eve = await given.a_person(rt, "eve@evil.example", slug="evil")
    link = (await owner.post("/admin/users", json={"email": eve.email})).json()["link"]
    await sign_in(client, eve.email, eve.password)
    async with rt.pg.decision() as tx:
        await users.lock(tx, eve.user_id)
        form = {"token": link.partition("#")[2]}
        waiting = asyncio.create_task(client.post("/auth/invitations/accept", json=form))
        await given.until_somebody_waits(rt)
        await invitations.forget(tx, (eve.email,))
    assert (await waiting).status_code == 400
