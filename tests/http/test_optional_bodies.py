"""A body each of whose members may be left out may be left out itself, on every route alike."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from service.http.edge import Edge
from service.http.validation import Expected
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.http.admin.test_clients import make
from tests.http.admin.test_people import signed_in

Browser = Callable[..., httpx2.AsyncClient]
NONE: tuple[dict[str, Any], ...] = ({}, {"json": {}}, {"headers": asking.JSON})
"""Without a body; with an empty one; without one, and a type for it."""


async def test_which_these_are(app: Edge) -> None:
    assert isinstance(app.app, Litestar)
    found = set()
    for route in app.app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            expected = Expected.of(handler)
            if expected is not None and expected.optional:
                found.add(f"{''.join(handler.http_methods)} {route.path_format}")
    assert found == {
        "POST /auth/refresh",
        "POST /api-keys/{key_id}/rotate",
        "POST /admin/clients/{client_id}/rotate-secret",
        "PATCH /admin/clients/{client_id}",
        "POST /admin/audit-events/exports",
        "POST /admin/signing-keys",
        "PUT /admin/organizations/{tenant_id}",
        "PUT /admin/secrets/{name}",
    }


@pytest.mark.parametrize("sent", NONE, ids=["none", "empty", "typed"])
async def test_none_and_an_empty_one_are_alike(
    rt: Runtime, client: httpx2.AsyncClient, sent: dict[str, Any]
) -> None:
    told = await signed_in(rt, client, role="owner", platform_admin=True)
    service = await make(client)
    there, user_id = told["organization"]["id"], told["user"]["id"]
    for method, path, status in (
        ("POST", f"/admin/clients/{service['client_id']}/rotate-secret", 200),
        ("PATCH", f"/admin/clients/{service['client_id']}", 200),
        ("PUT", f"/admin/organizations/{there}", 200),
        ("PUT", "/admin/secrets/db", 400),  # one of two is needed, and that is said
        ("POST", "/admin/audit-events/exports", 201),
        ("POST", f"/admin/users/{user_id}/unlock", 204),
        ("POST", f"/admin/users/{user_id}/end-sessions", 200),
    ):
        answer = await client.request(method, path, **sent)
        assert answer.status_code == status, (path, answer.text)


async def test_a_session_is_renewed_without_a_body(rt: Runtime, client: httpx2.AsyncClient) -> None:
    """But never without saying that it is JSON, which no page elsewhere can have a browser do."""
    ada = await given.a_person(rt)
    await asking.sign_in(client, ada)
    assert (await client.post("/auth/refresh", headers=asking.JSON)).status_code == 200
    assert (await client.post("/auth/refresh")).status_code == 415


async def test_what_has_a_body_that_is_needed_says_what_it_must_hold(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await signed_in(rt, client, role="owner")
    answer = await client.post("/api-keys", json={})
    assert answer.json()["fields"] == ["name", "scopes"]
