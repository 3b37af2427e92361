"""An act in one organization reaches that organization alone, also where a person is in two.

Every administrative route there is, read from openapi/, is walked by an owner of A with what
belongs to A, on a person who is a member of B as well: in B nothing changes.  What reaches a person
everywhere stands below by name, and nobody does it as an administrator of one organization.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.attacks.doors import (
    BODIES,
    Door,
    an_organization,
    document,
    doors,
    everything,
    fresh_slug,
    signed_in,
)
from tests.clients import Machine, a_service
from tests.keys import exchange

Browser = Callable[..., httpx2.AsyncClient]

ADMINISTRATION = re.compile(r"/(admin|api-keys|revocations)\b")

GLOBAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a platform administrator disables the account": (
        *("POST", "/admin/users/{user_id}/disable"),
        {},
    ),
    "a platform administrator erases the person": (
        *("DELETE", "/admin/users/{user_id}/personal-data"),
        {},
    ),
    "a platform administrator ends all their sessions": (
        *("POST", "/admin/users/{user_id}/end-sessions"),
        {},
    ),
    "a platform administrator cuts the person off": (
        *("POST", "/revocations"),
        {"kind": "sub", "value": "{user_id}"},
    ),
    "the person changes the password": (
        *("PUT", "/auth/password"),
        {"current_password": given.PASSWORD, "new_password": "another unicorn paperclip"},
    ),
    "the person signs out everywhere": ("POST", "/auth/logout-all", {}),
}
"""Acts on an account, which is the person's and the platform's, and reach every organization."""

MUST_BE_DONE = frozenset(
    {
        "PUT /admin/users/{user_id}/role",
        "POST /admin/users/{user_id}/disable",
        "POST /admin/users/{user_id}/enable",
        "POST /admin/users/{user_id}/unlock",
        "POST /admin/users/{user_id}/end-sessions",
        "POST /admin/users/{user_id}/personal-data/exports",
        "DELETE /admin/users/{user_id}",
        "DELETE /admin/sessions/{session_id}",
        "POST /admin/organizations/{tenant_id}/end-sessions",
        "POST /api-keys/{key_id}/revoke",
        "DELETE /api-keys/{key_id}",
        "DELETE /admin/invitations/{invitation_id}",
        "POST /admin/clients/{client_id}/disable",
        "POST /admin/clients/{client_id}/rotate-secret",
        "POST /revocations =sid session_id",
        "POST /revocations =akid key_id",
        "POST /revocations =client_id client_id",
        "POST /revocations =tenant_id tenant_id",
        "POST /revocations =sub user_id tenant_id",
    }
)
"""The walk is none if one of these was refused."""


def acts() -> list[Door]:
    """Return every administrative route, the plain ones and those that name an object."""
    named = [door for door in doors() if ADMINISTRATION.match(door.path)]
    plain = [
        Door(method.upper(), path)
        for path, operations in document()["paths"].items()
        for method in operations
        if ADMINISTRATION.match(path) and "{" not in path and path != "/revocations/stream"
    ]
    return [*named, *plain]


@dataclass
class Elsewhere:
    """A person's place in B: what must live on there."""

    http: httpx2.AsyncClient
    checker: Machine
    tenant_id: str
    user_id: str
    session_id: str
    key: dict[str, Any]
    key_token: str

    async def lives(self) -> bool:
        """Tell whether sessions, keys and tokens there work, and are of this moment."""
        token = self.http.headers["authorization"].removeprefix("Bearer ")
        told = [
            (await self.checker.ask("/oauth/introspect", token=one)).json()["active"]
            for one in (token, self.key_token)
        ]
        exchanged = await exchange(self.checker.http, self.key["secret"])
        return (
            all(told)
            and (await self.http.get("/auth/me")).status_code == 200
            and exchanged.status_code == 200
        )

    async def state(self, rt: Runtime) -> list[str]:
        """Return every row that is B's or the person's own in it."""
        rows = [line for table in (await everything(rt)).values() for line in table.splitlines()]
        account = f'"user_id":"{self.user_id}","email"'
        return sorted(
            row for row in rows if self.tenant_id in row or self.session_id in row or account in row
        )


async def in_b(rt: Runtime, browser: Browser, user_id: str, email: str, slug: str) -> Elsewhere:
    """Make somebody a member of B too, signed in there, with a key and a token of it."""
    there = await given.an_organization(rt, slug)
    await given.a_membership(rt, user_id, there, "admin")  # type: ignore[arg-type]
    http = browser()
    form = {"email": email, "password": given.PASSWORD, "organization": slug}
    told = (await http.post("/auth/login", json=form)).json()
    http.headers["authorization"] = f"Bearer {told['access_token']}"
    key = (await http.post("/api-keys", json={"name": "k", "scopes": ["agentes"]})).json()
    checker = await a_service(rt, browser(), "revocations:read", organization=slug)
    token = (await exchange(checker.http, key["secret"])).json()["access_token"]
    return Elsewhere(http, checker, str(there), user_id, told["session_id"], key, token)


async def of_a(
    rt: Runtime, browser: Browser
) -> tuple[httpx2.AsyncClient, dict[str, str], Elsewhere]:
    """Return an owner of A, what there is in A, and where its member is a member too."""
    owner, member, slug = browser(), browser(), fresh_slug()
    objects = await an_organization(rt, owner, member, slug)
    key = await member.post("/api-keys", json={"name": "theirs", "scopes": ["agentes"]})
    objects["key_id"] = key.json()["id"]
    email = f"bob@{slug}.example"
    return owner, objects, await in_b(rt, browser, objects["user_id"], email, fresh_slug())


async def test_no_act_in_one_organization_changes_anything_in_another(
    rt: Runtime, browser: Browser
) -> None:
    done: set[str] = set()
    owner, objects, elsewhere = await of_a(rt, browser)
    for door in acts():
        before = await elsewhere.state(rt)
        answer = await door.ask(owner, objects)
        if answer.status_code < 300:
            done.add(str(door))
        assert await elsewhere.state(rt) == before, door
        if door.method == "GET" or answer.status_code >= 300:
            continue
        assert await elsewhere.lives(), door
        owner, objects, elsewhere = await of_a(rt, browser)  # that A is not the same any more
    assert done >= MUST_BE_DONE, MUST_BE_DONE - done


@pytest.mark.parametrize("what", GLOBAL)
async def test_what_reaches_a_person_everywhere_is_no_act_of_an_organization(
    rt: Runtime, browser: Browser, what: str
) -> None:
    owner, objects, elsewhere = await of_a(rt, browser)
    root = browser()
    await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    own = what.startswith("the person")
    member = browser()
    email = f"bob@{objects['slug']}.example"
    form = {"email": email, "password": given.PASSWORD, "organization": objects["slug"]}
    told = (await member.post("/auth/login", json=form)).json()
    member.headers["authorization"] = f"Bearer {told['access_token']}"
    method, path, told = GLOBAL[what]
    url = path.format(**objects)
    body = {name: value.format(**objects) for name, value in told.items()}
    given_body: dict[str, Any] = {"json": body} if body or own else {}
    if not own:
        by_owner = await owner.request(method, url, **given_body)
        assert by_owner.status_code in (204, 200, 403, 404), by_owner.text
        assert await elsewhere.lives()
    answer = await (member if own else root).request(method, url, **given_body)
    assert answer.status_code < 300, answer.text
    assert (await elsewhere.http.get("/auth/me")).status_code == 401


async def test_the_role_one_has_changes_nothing_and_is_no_event(
    rt: Runtime, browser: Browser
) -> None:
    owner, member = browser(), browser()
    objects = await an_organization(rt, owner, member)
    before = await everything(rt)
    path = f"/admin/users/{objects['user_id']}/role"
    answer = await owner.put(path, json={"role": "admin"})
    assert (answer.status_code, answer.json()["role"]) == (200, "admin")
    assert await everything(rt) == before
    assert (await member.get("/auth/me")).status_code == 200


async def test_the_feed_names_the_organization_a_person_is_cut_off_in_and_tells_no_other(
    rt: Runtime, browser: Browser
) -> None:
    owner, objects, elsewhere = await of_a(rt, browser)
    platform = await a_service(rt, browser(), "revocations:read")
    path = f"/admin/users/{objects['user_id']}/role"
    assert (await owner.put(path, json={"role": "member"})).status_code == 200
    (entry,) = (await platform.get("/revocations")).json()["entries"]
    assert (entry["kind"], entry["value"]) == ("sub", objects["user_id"])
    assert entry["tenant_id"] == objects["tenant_id"]
    assert (await elsewhere.checker.get("/revocations")).json()["entries"] == []
    by_hand = {"kind": "sub", "value": objects["user_id"], "tenant_id": objects["tenant_id"]}
    made = await owner.post("/revocations", json=by_hand)
    assert (made.status_code, made.json()["tenant_id"]) == (201, objects["tenant_id"])
    wrong = {"kind": "sid", "value": objects["session_id"], "tenant_id": objects["tenant_id"]}
    refused = await owner.post("/revocations", json=wrong)
    assert (refused.status_code, refused.json()["fields"]) == (400, ["tenant_id"])
    assert await elsewhere.lives()


def test_every_body_is_of_a_route_that_is_there() -> None:
    assert BODIES.keys() <= {door.name for door in acts()} | {door.name for door in doors()}
