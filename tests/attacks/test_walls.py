"""Walls: another organization's objects answer exactly like objects that do not exist (A38).

Every route that names an object is tried, by the owner of another organization, with an object that
is there and with one that is not: same status, same body.  A route whose parameter is not known
fails, so that nobody adds a door without a wall.
"""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.http.shell import Shell
from service.runtime import Runtime
from tests import given
from tests.clients import a_service

Browser = Callable[..., httpx2.AsyncClient]
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"

BODIES: dict[str, dict[str, Any]] = {
    "PUT /admin/users/{user_id}/role": {"role": "member"},
    "PUT /admin/organizations/{tenant_id}": {"name": "Renamed"},
    "POST /api-keys/{key_id}/rotate": {"overlap_seconds": 0},
    "POST /admin/clients/{client_id}/rotate-secret": {"overlap_seconds": 0},
}
"""Bodies that would be good, were the object one's own."""

NOT_AN_OBJECT: dict[str, str] = {
    "GET /revocations/{jti}": "for services alone; people are refused before anything is looked up",
    "DELETE /admin/signing-keys/{kid}": "the platform's",
    "PUT /admin/secrets/{name}": "makes a secret under a name of one's own",
}
"""Routes whose parameter names nothing that belongs to an organization."""


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> dict[str, Any]:
    person = await given.a_person(rt, **who)
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


def doors(app: Shell) -> list[tuple[str, str]]:
    """Return every (method, path format) that names an object."""
    return [
        (method, route.path_format)
        for route in app.app.routes
        if "{" in route.path_format
        for method in sorted(route.methods - {"OPTIONS", "HEAD"})
    ]


async def world(rt: Runtime, client: httpx2.AsyncClient) -> dict[str, str]:
    """Make an organization with one of everything; return an id for each path parameter."""
    told = await signed_in(rt, client, email="ada@acme.example", role="owner")
    key = await client.post("/api-keys", json={"name": "k", "scopes": ["agentes"]})
    assert key.status_code == 201, key.text
    secret = await client.put("/admin/secrets/payments", json={"value": "canary-value"})
    assert secret.status_code in (200, 201), secret.text
    service = await client.post("/admin/clients", json={"name": "s", "scopes": ["agentes"]})
    assert service.status_code == 201, service.text
    invitation = await client.post("/admin/users", json={"email": "new@acme.example"})
    assert invitation.status_code == 201, invitation.text
    return {
        "session_id": told["session_id"],
        "client_id": service.json()["client_id"],
        "invitation_id": invitation.json()["id"],
        "user_id": told["user"]["id"],
        "tenant_id": told["organization"]["id"],
        "organization_id": told["organization"]["id"],
        "key_id": key.json()["id"],
        "name": "payments",
        "version": "1",
    }


async def test_every_door_with_a_foreign_object_answers_like_one_with_none(
    rt: Runtime, app: Shell, browser: Browser
) -> None:
    inside, outside = browser(), browser()
    foreign = await world(rt, inside)
    await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    same = {"x-request-id": "same-for-both"}
    tried = 0
    for method, path in doors(app):
        door = f"{method} {path}"
        if door in NOT_AN_OBJECT:
            continue
        names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
        assert set(names) <= foreign.keys(), f"{door}: say here what its objects are"
        there = path.format(**{name: foreign[name] for name in names})
        nowhere = path.format(**dict.fromkeys(names, UNKNOWN))
        answers = [
            await outside.request(method, url, json=BODIES.get(door), headers=same)
            for url in (there, nowhere)
        ]
        assert answers[0].status_code == answers[1].status_code, door
        assert answers[0].status_code in (403, 404), f"{door}: {answers[0].status_code}"
        assert answers[0].content == answers[1].content, door
        tried += 1
    assert tried >= 15
    assert (await inside.get("/auth/me")).status_code == 200
    assert (await inside.get(f"/api-keys/{foreign['key_id']}")).status_code == 200


async def test_lists_show_only_one_s_own(rt: Runtime, app: Shell, browser: Browser) -> None:
    inside, outside = browser(), browser()
    foreign = await world(rt, inside)
    await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    for route in app.app.routes:
        if "GET" not in route.methods or "{" in route.path_format:
            continue
        answer = await outside.get(route.path_format)
        for name, value in foreign.items():
            assert name in ("name", "version") or value not in answer.text, route.path_format


@pytest.mark.parametrize("path", ["/revocations", "/oauth/introspect"])
async def test_a_service_of_one_organization_sees_no_other(
    rt: Runtime, browser: Browser, path: str
) -> None:
    inside = browser()
    foreign = await world(rt, inside)
    await given.an_organization(rt, "evil")
    spy = await a_service(rt, browser(), "revocations:read", organization="evil")
    token = inside.headers["authorization"].removeprefix("Bearer ")
    if path == "/oauth/introspect":
        assert (await spy.ask(path, token=token)).json() == {"active": False}
    await inside.post("/auth/logout")
    assert foreign["session_id"] not in (await spy.get("/revocations")).text
