"""Erasure of a person: nothing of them is left in any table, and the trail still verifies."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from service.domain import apikeys, audit, lockouts, sessions, users
from service.domain.audit import events
from service.domain.seals import PERSONAL_KEYS
from service.domain.sessions import Why
from service.flows.people.erase_person import erase_person
from service.kernel import ids
from service.kernel.call import Call, Nobody, Operator, Person
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.sql import Tx
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.trails import checked, seal_all
from tests.keys import an_owner, use

Browser = Callable[..., httpx2.AsyncClient]
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"

EMAIL = "canary-wren@acme.example"
CANARIES = ("canary-wren", "canary-agent", "canary-name", "198.51.100.77", "198.51.100.")
"""What is this person's alone: e-mail, agent, names they gave, address and network."""


async def sign_in(client: httpx2.AsyncClient, who: given.Given, **more: str) -> httpx2.Response:
    answer = await client.post(
        "/auth/login", json={"email": who.email, "password": who.password, **more}
    )
    if answer.status_code == 200:
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return answer


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    person = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    assert (await sign_in(client, person)).status_code == 200
    return client


async def everything(rt: Runtime) -> dict[str, str]:
    """Return every row of every table as text."""
    async with rt.pg.autocommit() as tx:
        tables = await tx.fetch(
            "SELECT c.relname AS name FROM pg_class c"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition"
        )
        return {
            table["name"]: "\n".join(
                row["told"]
                for row in await tx.fetch(
                    f'SELECT to_json(t)::text AS told FROM "{table["name"]}" t'
                )
            )
            for table in tables
        }


async def found(rt: Runtime) -> dict[str, set[str]]:
    """Return where a canary sings."""
    told = {
        table: {canary for canary in CANARIES if re.search(re.escape(canary), text, re.IGNORECASE)}
        for table, text in (await everything(rt)).items()
    }
    return {table: sang for table, sang in told.items() if sang}


async def a_life(rt: Runtime, browser: Browser) -> tuple[UserId, httpx2.AsyncClient, str]:
    """Make a person who left traces wherever one can; return also their client and API key."""
    client = browser(ip="198.51.100.77", agent="canary-agent")
    who = await an_owner(rt, client, EMAIL)
    await given.an_organization(rt, "other")
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_users SET name = 'canary-name' WHERE email = $1", EMAIL)
        other = TenantId(
            await tx.fetchval("SELECT tenant_id FROM auth_organizations WHERE slug = 'other'")
        )
    await given.a_membership(rt, who.person.user_id, other, "member")
    await given.a_person(rt, "second@acme.example", role="owner")
    made = await who.create(name="canary-name", scopes=["agentes"])
    invited = await client.post("/admin/users", json={"email": "friend@acme.example"})
    assert invited.status_code == 201, invited.text
    stray = browser(ip="198.51.100.78", agent="canary-agent")
    for _ in range(6):
        await stray.post("/auth/login", json={"email": EMAIL, "password": "a wrong password"})
    moved = browser(ip="198.51.100.79", agent="canary-agent")
    moved.cookies = client.cookies
    assert (await moved.post("/auth/refresh", json={})).status_code == 200
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_invitations (invitation_id, tenant_id, email, role, token_hash,"
            " created_at, expires_at) SELECT gen_random_uuid(), $1, $2, 'member',"
            " sha256('x'), now(), now() + interval '1 day'",
            other,
            EMAIL,
        )
    return who.person.user_id, client, made["secret"]


@pytest.mark.parametrize("acts_on_another", [True, False])
async def test_an_act_that_began_before_leaves_nothing_personal_after(
    rt: Runtime,
    call: Callable[..., Call],
    *,
    acts_on_another: bool,
) -> None:
    """Whichever act it is: recorded before and committed while one is erased, or recorded after."""
    ada = await given.a_person(rt, "ada@acme.example", role="owner")
    bob = await given.a_person(rt, "bob@acme.example", role="owner")
    erasing, theirs = call(actor=Operator(), ip=None, user_agent=""), "198.51.100.77"
    person = Person(
        user_id=ada.user_id,
        tenant_id=ada.tenant_id,
        session_id=SessionId(ids.new(rt.clock.now())),
        client_id="console",
        roles=("owner",),
        scopes=(),
        expires_at=rt.clock.now(),
    )
    about = bob.user_id if acts_on_another else ada.user_id
    acting = call(actor=person if acts_on_another else Nobody(), ip=theirs)
    act = events.SessionMoved(
        tenant_id=ada.tenant_id,
        user_id=about,
        network_before=theirs,
        network_now=theirs,
        agent_changed=False,
    )
    async with rt.pg.decision() as tx:
        await audit.record(tx, acting, act)
        erasure = asyncio.create_task(erase_person(rt, erasing, ada.user_id))
        await given.until_somebody_waits(rt)
        assert not erasure.done()
    await erasure
    async with rt.pg.decision() as tx:
        await audit.record(tx, acting, act)
        bobs = call(actor=replace(person, user_id=bob.user_id), ip="203.0.113.9")
        await audit.record(tx, bobs, replace(act, user_id=ada.user_id))
    addresses = [one["ip"] for one in await given.events(rt, "session.moved")]
    assert [str(one) for one in addresses] == ["None", "None", "203.0.113.9"]
    before = [one["detail"] for one in await given.events(rt, "session.moved")][:2]
    assert before == [{"agent_changed": False}] * 2
    await seal_all(rt)
    assert (await checked(rt)).findings == []


@pytest.mark.parametrize("row", ["session", "family", "key", "lockout", "invitation"])
async def test_an_act_that_holds_a_row_of_the_person_records_and_the_erasure_follows(
    rt: Runtime, browser: Browser, call: Callable[..., Call], row: str
) -> None:
    """Both end: an act takes its rows and records, and an erasure takes them in the same order."""
    client = browser(ip="198.51.100.77")
    who = await an_owner(rt, client, EMAIL)
    await given.a_person(rt, "second@acme.example", role="owner")
    await who.create(name="build", scopes=["agentes"])
    invited = await client.post("/admin/users", json={"email": "friend@acme.example"})
    assert invited.status_code == 201, invited.text
    user_id, tenant_id = who.person.user_id, who.person.tenant_id

    async def take(tx: Tx) -> None:
        at = rt.clock.now()
        match row:
            case "session":
                session_id = await tx.fetchval(
                    "SELECT session_id FROM auth_sessions WHERE user_id = $1", user_id
                )
                assert await sessions.end_one(tx, session_id, user_id, at, Why.SIGNED_OUT)
            case "family":
                held = "SELECT FROM auth_families JOIN auth_sessions USING (session_id) FOR UPDATE"
                await tx.execute(held)
            case "key":
                key_id = await tx.fetchval("SELECT key_id FROM auth_api_keys")
                assert await apikeys.lock(tx, key_id, None, None)
            case "lockout":
                await lockouts.unlock(tx, user_id)
            case "invitation":
                await tx.execute("SELECT FROM auth_invitations FOR UPDATE")

    if row == "lockout":
        wrong = {"email": EMAIL, "password": "a wrong password"}
        assert (await browser().post("/auth/login", json=wrong)).status_code == 401
    operator = call(actor=Operator(), ip=None, user_agent="")
    ended = events.SessionEnded(tenant_id=tenant_id, user_id=user_id, why="signed_out")
    async with rt.pg.decision() as tx:
        await take(tx)
        erasure = asyncio.create_task(erase_person(rt, operator, user_id))
        await given.until_somebody_waits(rt)
        await audit.record(tx, call(ip="198.51.100.77"), ended)
    await erasure
    assert await found(rt) == {}
    await seal_all(rt)
    assert (await checked(rt)).findings == []


@pytest.mark.parametrize(
    "act",
    ["revoke key", "suspend", "remove", "disable account", "disable organization", "end session"],
)
async def test_an_act_that_waits_for_a_row_has_recorded_nothing(
    rt: Runtime, root: httpx2.AsyncClient, browser: Browser, act: str
) -> None:
    """Else the erasure of whom it recorded could wait for it, and the row for the erasure."""
    who = await an_owner(rt, browser(ip="198.51.100.77"), EMAIL)
    await given.a_person(rt, "second@acme.example", role="owner")
    made = await who.create(name="build", scopes=["agentes"])
    user_id, tenant_id = who.person.user_id, who.person.tenant_id
    of, there = f"/admin/users/{user_id}", {"tenant_id": str(tenant_id)}
    async with rt.pg.reading() as tx:
        session_id = await tx.fetchval(
            "SELECT session_id FROM auth_sessions WHERE user_id = $1", user_id
        )
    revoked = {"kind": "akid", "value": made["id"], "reason": "leaked"}
    ways: dict[str, Callable[[], Any]] = {
        "revoke key": lambda: root.post("/revocations", json=revoked),
        "suspend": lambda: root.post(f"{of}/disable", params=there),
        "remove": lambda: root.delete(of, params=there),
        "disable account": lambda: root.post(f"{of}/disable"),
        "disable organization": lambda: root.post(f"/admin/organizations/{tenant_id}/disable"),
        "end session": lambda: root.delete(f"/admin/sessions/{session_id}"),
    }
    async with rt.pg.decision() as tx:
        table = "auth_api_keys" if act == "revoke key" else "auth_sessions"
        await tx.execute(f"SELECT FROM {table} FOR UPDATE")
        acting = asyncio.create_task(ways[act]())
        await given.until_somebody_waits(rt)
        locks = (
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND mode = 'ShareLock' AND datname = current_database()"
        )
        assert await tx.fetchval(locks) == 0
    assert (await acting).status_code in {200, 201, 204}


async def test_an_event_takes_the_lock_that_the_erasure_of_its_person_waits_for(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    told = events.UserEnabled(tenant_id=ada.tenant_id, user_id=ada.user_id)
    held = (
        "SELECT (classid::bigint << 32) | objid::bigint AS number, mode FROM pg_locks"
        " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )
    async with rt.pg.decision() as tx:
        number = await tx.fetchval("SELECT auth_eventos_person($1)", str(ada.user_id))
        await audit.record(tx, call(actor=Operator(), ip=None, user_agent=""), told)
        assert await tx.fetch(held) == [], "nothing personal, no lock"
        await audit.record(tx, call(ip="198.51.100.77"), told)
        (lock,) = await tx.fetch(held)
    assert (lock["number"], lock["mode"]) == (number, "ShareLock")


async def test_the_database_and_the_seals_call_the_same_keys_personal(rt: Runtime) -> None:
    async with rt.pg.autocommit() as tx:
        sources = [
            await tx.fetchval(f"SELECT pg_get_functiondef('{name}'::regproc)")
            for name in ("auth_eventos_of_erased", "auth_eventos_erase")
        ]
    lists = [re.findall(r"ARRAY\[([^]]*)\]", source) for source in sources]
    keys = [set(re.findall(r"'(\w+)'", told)) for (told,) in lists]
    assert keys == [set().union(*PERSONAL_KEYS.values())] * 2


async def test_nothing_of_the_person_is_left_and_the_chain_still_verifies(
    rt: Runtime, root: httpx2.AsyncClient, browser: Browser, client: httpx2.AsyncClient
) -> None:
    who, theirs, key = await a_life(rt, browser)
    await seal_all(rt)
    assert {"auth_users", "auth_eventos", "auth_families", "auth_invitations"} <= (
        await found(rt)
    ).keys()
    answer = await root.delete(f"/admin/users/{who}/personal-data")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await found(rt) == {}
    await seal_all(rt)
    result = await checked(rt)
    assert result.findings == []
    assert result.erased > 3
    assert (await theirs.get("/auth/me")).status_code == 401
    assert (await theirs.post("/auth/refresh", json={})).status_code == 401
    assert await use(client, key) == 401
    refused = await client.post("/auth/login", json={"email": EMAIL, "password": given.PASSWORD})
    assert refused.status_code == 401
    kinds = await given.kinds(rt)
    assert (kinds.count("user.erased"), kinds.count("membership.ended")) == (1, 2)
    assert {str(one["user_id"]) for one in await given.events(rt, "trail.erased")} == {str(who)}
    assert len(await given.events(rt, "trail.erased")) == len(
        {one["tenant_id"] for one in await given.events(rt, "trail.erased")}
    )


async def test_what_an_administrator_did_to_others_stays_verifiable_without_them(
    rt: Runtime, root: httpx2.AsyncClient, browser: Browser
) -> None:
    """Their addresses go from events that are about somebody else, and that is on record."""
    admin = browser(ip="198.51.100.77", agent="canary-agent")
    who = await an_owner(rt, admin, EMAIL)
    await given.a_person(rt, "second@acme.example", role="owner")
    other = await given.a_person(rt, "bob@acme.example")
    answer = await admin.put(f"/admin/users/{other.user_id}/role", json={"role": "auditor"})
    assert answer.status_code == 200
    await seal_all(rt)
    assert (
        await root.delete(f"/admin/users/{who.person.user_id}/personal-data")
    ).status_code == 204
    await seal_all(rt)
    result = await checked(rt)
    assert (result.findings, result.erased > 1) == ([], True)
    (changed,) = await given.events(rt, "membership.role_changed")
    assert (changed["ip"], changed["user_id"]) == (None, other.user_id)


async def test_the_address_is_free_again_and_the_old_account_stays_shut(
    rt: Runtime, root: httpx2.AsyncClient, browser: Browser
) -> None:
    who, _, _ = await a_life(rt, browser)
    assert (await root.delete(f"/admin/users/{who}/personal-data")).status_code == 204
    assert (await root.post(f"/admin/users/{who}/enable")).status_code == 409
    again = await given.a_person(rt, EMAIL)
    assert (await sign_in(browser(), again)).status_code == 200
    repeated = await root.delete(f"/admin/users/{who}/personal-data")
    assert repeated.status_code == 204
    assert (await sign_in(browser(), again)).status_code == 200


@pytest.mark.parametrize("role", ["owner", "admin", "member", "auditor"])
async def test_only_the_platform_erases_whoever_it_is_about(
    rt: Runtime, browser: Browser, role: str
) -> None:
    """The same answer for a colleague, for a stranger and for nobody."""
    client, same = browser(), {"x-request-id": "same-for-all"}
    await sign_in(client, await given.a_person(rt, "boss@acme.example", role=role))
    colleague = await given.a_person(rt, "eve@acme.example")
    stranger = await given.a_person(rt, "eve@evil.example", slug="evil")
    answers = [
        await client.delete(f"/admin/users/{who}/personal-data", headers=same)
        for who in (colleague.user_id, stranger.user_id, UNKNOWN)
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert "user.erased" not in await given.kinds(rt)


async def test_last_owners_oneself_and_nobody_are_not_erased(
    rt: Runtime, root: httpx2.AsyncClient
) -> None:
    last = await given.a_person(rt, "last@acme.example", role="owner")
    me = (await root.get("/auth/me")).json()["user"]["id"]
    statuses = [
        (await root.delete(f"/admin/users/{who}/personal-data")).status_code
        for who in (last.user_id, me, UNKNOWN, "x")
    ]
    assert statuses == [409, 409, 404, 404]


async def test_an_erasure_that_cannot_be_recorded_does_not_happen(
    rt: Runtime, root: httpx2.AsyncClient, browser: Browser
) -> None:
    who, theirs, _ = await a_life(rt, browser)
    before = await found(rt)
    async with given.only_rows_where(rt, "auth_eventos", "event_type <> 'user.erased'"):
        answer = await root.delete(f"/admin/users/{who}/personal-data")
        assert answer.status_code == 500
        assert await found(rt) == before
        assert (await theirs.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("way", ["disable", "erase"])
@pytest.mark.parametrize("meanwhile", ["promoted", "joined"])
async def test_whoever_becomes_the_last_owner_meanwhile_stays(
    rt: Runtime, root: httpx2.AsyncClient, way: str, meanwhile: str
) -> None:
    """Two transactions at once: one makes them the owner, one closes their account."""
    old = await given.a_person(rt, "old@acme.example", role="owner")
    slug = "acme" if meanwhile == "promoted" else "elsewhere"
    new = await given.a_person(rt, "new@acme.example", slug=slug)
    act: dict[str, Callable[[], Any]] = {
        "disable": lambda: root.post(f"/admin/users/{new.user_id}/disable"),
        "erase": lambda: root.delete(f"/admin/users/{new.user_id}/personal-data"),
    }
    async with rt.pg.decision() as tx:
        await tx.execute(
            "SELECT FROM auth_organizations WHERE tenant_id = $1 FOR UPDATE", old.tenant_id
        )
        if meanwhile == "promoted":
            await users.change_role(tx, old.tenant_id, new.user_id, "owner")
        else:
            at = rt.clock.now()
            await users.insert_membership(tx, old.tenant_id, new.user_id, "owner", at)
        await users.change_role(tx, old.tenant_id, old.user_id, "member")
        closing = asyncio.create_task(act[way]())
        await asyncio.sleep(0.3)
        assert not closing.done()
    assert (await closing).status_code == 409
    async with rt.pg.reading() as tx:
        assert await users.count_owners(tx, old.tenant_id) == 1
