"""A management scope is no way up: what a machine gives away it has, and owners are above it."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.flows.shared.permissions import MANAGEMENT_SCOPES, ROLES
from service.runtime import Runtime
from tests import given
from tests.attacks.doors import an_organization, signed_in
from tests.clients import Machine, a_service

Browser = Callable[..., httpx2.AsyncClient]
OF_ADMINS = tuple(scope for scope, one in MANAGEMENT_SCOPES.items() if "admin" in ROLES[one])


async def asked(
    machine: Machine, method: str, path: str, body: dict[str, Any] | None = None
) -> httpx2.Response:
    headers = {"authorization": f"Bearer {machine.token}"}
    return await machine.http.request(method, path, headers=headers, json=body)


async def status(
    machine: Machine, method: str, path: str, body: dict[str, Any] | None = None
) -> int:
    return (await asked(machine, method, path, body)).status_code


async def test_who_grants_a_management_scope_has_its_permission(
    rt: Runtime, browser: Browser
) -> None:
    owner, admin, root = browser(), browser(), browser()
    await signed_in(rt, owner, email="ada@acme.example", role="owner")
    await signed_in(rt, admin, email="bob@acme.example", role="admin")
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    owners_own = "manage:sessions.end_organization"
    platforms = "manage:signing_keys.change"

    async def create(http: httpx2.AsyncClient, scope: str, query: str = "") -> httpx2.Response:
        return await http.post(f"/admin/clients{query}", json={"name": "s", "scopes": [scope]})

    assert (await create(admin, "manage:sessions.end")).status_code == 201
    assert (await create(admin, owners_own)).status_code == 403
    assert (await create(owner, owners_own)).status_code == 201
    assert (await create(owner, "revocations:read")).status_code == 403
    assert (await create(root, platforms)).status_code == 201
    for http, scope, query in (
        (owner, platforms, ""),
        (owner, "manage:everything", ""),
        (owner, "manage:api_keys.write", ""),  # of one's own: a machine has none
        (root, "manage:everything", ""),
        (root, platforms, f"?tenant_id={await given.an_organization(rt, 'other')}"),
    ):
        answer = await create(http, scope, query)
        assert answer.status_code == 400, scope
        assert "manage:sessions.end, " in answer.json()["detail"]
        assert f"{scope}, " not in answer.json()["detail"]
    key = {"name": "k", "scopes": ["manage:sessions.end"]}
    assert (await owner.post("/api-keys", json=key)).status_code == 400


async def test_a_machine_that_keeps_clients_gives_none_more_than_it_has(
    rt: Runtime, browser: Browser
) -> None:
    owner = browser()
    objects = await an_organization(rt, owner, browser())
    keep = "manage:clients.keep"
    machine = await a_service(rt, browser(), keep, organization="acme")
    for scope, allowed in {keep: 201, "manage:people.keep": 403, "agentes": 403}.items():
        made = await asked(machine, "POST", "/admin/clients", {"name": "s", "scopes": [scope]})
        assert made.status_code == allowed, scope
    path = f"/admin/clients/{objects['client_id']}"  # it holds agentes
    assert await status(machine, "POST", f"{path}/rotate-secret") == 403
    assert await status(machine, "POST", f"{path}/disable") == 204
    assert await status(machine, "POST", f"{path}/enable") == 403
    elsewhere = f"/admin/clients?tenant_id={await given.an_organization(rt, 'other')}"
    for there in (elsewhere, "/admin/clients?tenant_id=platform"):
        assert await status(machine, "POST", there, {"name": "s", "scopes": [keep]}) in {403, 404}


async def test_a_machine_that_keeps_people_makes_nobody_more_than_itself(
    rt: Runtime, browser: Browser
) -> None:
    objects = await an_organization(rt, owner := browser(), browser())
    ada = (await owner.get("/auth/me")).json()["user"]["id"]
    few = await a_service(rt, browser(), "manage:people.keep", organization="acme")
    many = await a_service(rt, browser(), *OF_ADMINS, organization="acme")
    of_all = await a_service(rt, browser(), *MANAGEMENT_SCOPES)
    there = f"tenant_id={objects['tenant_id']}"
    invitation = {"email": "x@acme.example", "role": "owner"}
    for machine in (few, many, of_all):
        assert await status(machine, "POST", f"/admin/users?{there}", invitation) == 403
        for method, path, body in (
            ("PUT", f"/admin/users/{ada}/role?{there}", {"role": "member"}),
            ("PUT", f"/admin/users/{objects['user_id']}/role?{there}", {"role": "owner"}),
            ("POST", f"/admin/users/{ada}/disable?{there}", None),
            ("POST", f"/admin/users/{ada}/unlock?{there}", None),
            ("DELETE", f"/admin/users/{ada}?{there}", None),
            ("POST", "/revocations", {"kind": "sub", "value": ada, "tenant_id": there[10:]}),
        ):
            denied = await asked(machine, method, path, body)
            assert denied.status_code == 403, (path, denied.text)
    for role, by_few in {"admin": 403, "auditor": 403, "member": 201}.items():
        body = {"email": f"{role}@acme.example", "role": role}
        answer = await asked(few, "POST", "/admin/users", body)
        assert answer.status_code == by_few, role
        assert by_few == 201 or "manage:audit.read" in answer.json()["detail"]
        assert await status(many, "POST", "/admin/users", body) == 201
    assert (await owner.get("/auth/me")).status_code == 200


async def test_a_machine_of_the_platform_closes_accounts_but_none_above_it(
    rt: Runtime, browser: Browser
) -> None:
    objects = await an_organization(rt, owner := browser(), member := browser())
    ada = (await owner.get("/auth/me")).json()["user"]["id"]
    root = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await given.a_person(rt, "root2@top.example", slug="top", role="owner", platform_admin=True)
    second = await given.a_person(rt, "cyd@acme.example", role="owner")
    for scope, acts in {
        "manage:accounts.disable": ("POST /admin/users/{}/disable", "POST /admin/users/{}/enable"),
        "manage:people.erase": ("DELETE /admin/users/{}/personal-data",),
        "manage:sessions.end": ("POST /admin/users/{}/end-sessions",),
        "manage:revocations.write": ("POST /revocations {}",),
    }.items():
        machine = await a_service(rt, browser(), scope)
        for act in acts:
            for above in (ada, second.user_id, root.user_id):
                assert await status(machine, *filled(act, above)) == 403, (scope, act)
    assert (await owner.get("/auth/me")).status_code == 200
    machine = await a_service(rt, browser(), "manage:accounts.disable")
    assert await status(machine, "POST", f"/admin/users/{objects['user_id']}/disable") == 204
    assert (await member.get("/auth/me")).status_code == 401
    event = (await given.events(rt, "user.disabled"))[-1]
    assert (event["actor_kind"], event["actor_id"]) == ("client", machine.client_id)
    within = f"/admin/users/{objects['user_id']}/disable?tenant_id={objects['tenant_id']}"
    assert await status(machine, "POST", within) == 403


GIVES_BACK: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "invitation": (
        "manage:people.keep",
        "POST /admin/users",
        ("admin", "auditor", "owner"),
    ),
    "role": (
        "manage:people.keep",
        "PUT /admin/users/{user_id}/role",
        ("admin", "auditor", "owner"),
    ),
    "membership": (
        "manage:people.keep",
        "POST /admin/users/{user_id}/enable",
        ("admin", "auditor", "owner", "platform_admin"),
    ),
    "account": (
        "manage:accounts.disable",
        "POST /admin/users/{user_id}/enable",
        ("admin", "auditor", "owner", "platform_admin"),
    ),
}
"""Every act by which somebody gets authority, or gets it back: the one scope of the machine that
asks, and whose authority it is refused."""

CLOSED = {
    "membership": "UPDATE auth_memberships SET disabled_at = now() WHERE user_id = $1",
    "account": "UPDATE auth_users SET disabled_at = now() WHERE user_id = $1",
}
BODY: dict[str, dict[str, str]] = {"invitation": {"email": "new@acme.example"}, "role": {}}


@pytest.mark.parametrize("what", GIVES_BACK)
async def test_a_machine_gives_back_no_authority_that_it_does_not_have(
    rt: Runtime, browser: Browser, what: str
) -> None:
    """It would act by an accomplice: an administrator who was suspended or disabled."""
    scope, act, above = GIVES_BACK[what]
    told = await signed_in(rt, browser(), email="ada@acme.example", role="owner")
    await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    few = await a_service(rt, browser(), scope)
    many = await a_service(rt, browser(), scope, *OF_ADMINS)
    method, _, path = act.partition(" ")
    for role in ("member", *above):
        email = f"{role}@acme.example"
        held = "member" if role == "platform_admin" or what == "role" else role
        person = await given.a_person(rt, email, role=held, platform_admin=role == "platform_admin")
        if what in CLOSED:
            async with rt.pg.reading() as tx:
                await tx.execute(CLOSED[what], person.user_id)
        query = "" if what == "account" else f"?tenant_id={told['organization']['id']}"
        body = {**BODY[what], "role": role} if what in BODY else None
        asks = (method, f"{path.format(user_id=person.user_id)}{query}", body)
        refused = await asked(few, *asks)
        assert (refused.status_code == 403) == (role != "member"), (role, refused.text)
        answer = await asked(many, *asks)
        above_all = role in {"owner", "platform_admin"}
        assert (answer.status_code == 403) == above_all, (role, answer.text)
        for one in (refused, answer):
            assert one.status_code in {200, 201, 204, 403}, one.text


@pytest.mark.parametrize(
    ("kind", "named", "needed"),
    [
        ("sid", "session_id", "manage:sessions.end"),
        ("akid", "key_id", "manage:api_keys.write_all"),
        ("tenant_id", "tenant_id", "manage:sessions.end_organization"),
    ],
)
async def test_what_a_revocation_also_ends_needs_the_scope_of_that_act(
    rt: Runtime, browser: Browser, kind: str, named: str, needed: str
) -> None:
    objects = await an_organization(rt, owner := browser(), member := browser())
    revoke = "manage:revocations.write"
    few = await a_service(rt, browser(), revoke, organization="acme")
    both = await a_service(rt, browser(), revoke, needed, organization="acme")
    body = {"kind": kind, "value": objects[named]}
    refused = await asked(few, "POST", "/revocations", body)
    assert (refused.status_code, needed in refused.json()["detail"]) == (403, True), refused.text
    assert (await member.get("/auth/me")).status_code == 200
    assert (await owner.get(f"/api-keys/{objects['key_id']}")).json()["revoked_at"] is None
    assert await status(both, "POST", "/revocations", body) == 201


async def test_a_repeated_disabling_revokes_again_and_is_no_event(
    rt: Runtime, browser: Browser
) -> None:
    """The answer of the first may have been lost, and a token issued meanwhile."""
    objects = await an_organization(rt, browser(), browser())
    root = browser()
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    there = objects["tenant_id"]
    seen = []
    for _ in range(2):
        assert (await root.post(f"/admin/organizations/{there}/disable")).is_success
        async with rt.pg.reading() as tx:
            newest = "SELECT max(seq) FROM auth_revocations WHERE value = $1"
            seen.append(await tx.fetchval(newest, there))
    assert seen[0] < seen[1]
    assert len(await given.events(rt, "organization.disabled")) == 1


def filled(act: str, user_id: object) -> tuple[str, str, dict[str, Any] | None]:
    method, _, path = act.partition(" ")
    if path.startswith("/revocations"):
        return method, "/revocations", {"kind": "sub", "value": str(user_id)}
    return method, path.format(user_id), None


async def test_an_organization_reads_who_of_the_platform_acted_in_it(
    rt: Runtime, browser: Browser
) -> None:
    objects = await an_organization(rt, owner := browser(), browser())
    service = await a_service(rt, browser(), "manage:people.read", "manage:clients.keep")
    users = f"/admin/users?tenant_id={objects['tenant_id']}"
    assert await status(service, "GET", users) == 200
    path = f"/admin/clients/{objects['client_id']}/disable"
    assert await status(service, "POST", path) == 204
    told = (await owner.get("/admin/audit-events?limit=2")).json()["items"]
    assert [one["type"] for one in told] == ["client.disabled", "organization.crossed"]
    for one in told:
        assert one["actor"] == {"kind": "client", "id": service.client_id}
        assert one["detail"]["crossing_from"] == "platform"
    assert await status(service, "GET", "/admin/users") == 400  # whose? it belongs to none
    local = await a_service(rt, browser(), "manage:people.read", organization="acme")
    assert await status(local, "GET", "/admin/users") == 200
    other = await given.an_organization(rt, "other")
    assert await status(local, "GET", f"/admin/users?tenant_id={other}") == 404
    newest = (await given.events(rt))[-1]
    assert "crossing_from" not in newest["detail"] or newest["actor_id"] != local.client_id


@pytest.mark.parametrize(
    "loss",
    [
        "UPDATE auth_clients SET scopes = '{agentes}' WHERE client_id = $1",
        "UPDATE auth_clients SET disabled_at = now() WHERE client_id = $1",
        "DELETE FROM auth_clients WHERE client_id = $1",
    ],
)
async def test_a_machine_that_has_just_lost_its_scope_makes_nothing(
    rt: Runtime, browser: Browser, loss: str
) -> None:
    """Who waits for the act that takes a scope away looks again once it is their turn."""
    objects = await an_organization(rt, browser(), browser())
    scopes = ("manage:people.keep", "manage:api_keys.write_all", "agentes")
    machine = await a_service(rt, browser(), *scopes, organization="acme")
    async with rt.pg.autocommit() as tx:
        await tx.execute(loss, machine.client_id)
    for method, path, body in (
        ("POST", "/admin/users", {"email": "x@acme.example"}),
        ("PUT", f"/admin/users/{objects['user_id']}/role", {"role": "member"}),
        ("POST", "/api-keys", {"name": "k", "scopes": ["agentes"], "owner": "organization"}),
        ("POST", f"/api-keys/{objects['key_id']}/rotate", {}),
    ):
        assert await status(machine, method, path, body) == 401, path
    assert await status(machine, "POST", "/api-keys", {"name": "k", "scopes": ["agentes"]}) == 400
