"""A26: what could not be revoked is not said to be (ory/fosite CVE-2020-15223).

The storage fails in the middle: the session is ended, and its revocation cannot be written.  At
every door that ends something the answer is no success, no cookie is cleared, and nothing is half
done.
"""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.attacks.doors import everything
from tests.clients import a_service
from tests.http import asking
from tests.keys import an_owner

Browser = Callable[..., httpx2.AsyncClient]

COUNTED_BEFORE = ("auth_lockouts",)
"""An attempt at a password is reserved before it is looked at, in a transaction of its own."""

DOORS = (
    "logout",
    "logout-all",
    "oauth refresh token",
    "oauth access token",
    "own session",
    "password",
    "switch",
    "admin session",
    "admin sessions of a person",
    "admin sessions of an organization",
    "disable person",
    "disable membership",
    "remove membership",
    "disable organization",
    "disable client",
    "rotate client",
    "revoke key",
    "delete key",
    "rotate key",
    "by hand: sid",
    "by hand: akid",
    "by hand: sub",
    "erase",
)


@pytest.mark.parametrize("door", DOORS)
async def test_an_end_that_cannot_be_written_is_not_acknowledged_and_ends_nothing(
    rt: Runtime, browser: Browser, door: str
) -> None:
    root = await an_owner(rt, browser(), "root@top.example", slug="top", platform_admin=True)
    key = await root.create()
    machine = await a_service(rt, browser(), "agentes", organization="top")
    ada = await given.a_person(rt, role="owner")
    eve = await given.a_person(rt, "eve@acme.example")
    await given.a_membership(rt, eve.user_id, await given.an_organization(rt, "other"), "member")
    client = browser()
    signed_in = await asking.sign_in(client, eve, organization="acme")
    await asking.sign_in(browser(), eve, organization="acme")  # so that others are there to end
    assert await asking.me(client, signed_in) == 200
    before = await everything(rt, but=COUNTED_BEFORE)

    told = {"session": signed_in.json()["session_id"], "user": eve.user_id, "key": key["id"]}
    told |= {"acme": ada.tenant_id, "client": machine.client_id}
    own: dict[str, Any] = {"headers": asking.bearer(signed_in)}
    token, access = asking.cookie(signed_in), signed_in.json()["access_token"]
    passwords = {"current_password": eve.password, "new_password": "an altogether new one"}
    asked: dict[str, tuple[httpx2.AsyncClient, str, str, dict[str, Any]]] = {
        "logout": (client, "POST", "/auth/logout", {"json": {}}),
        "logout-all": (client, "POST", "/auth/logout-all", {"json": {}}),
        "oauth refresh token": (
            *(client, "POST", "/oauth/revoke"),
            {"data": {"token": token, "client_id": "console"}},
        ),
        "oauth access token": (
            *(client, "POST", "/oauth/revoke"),
            {"data": {"token": access, "client_id": "console"}},
        ),
        "own session": (client, "DELETE", "/auth/sessions/{session}", own),
        "password": (client, "PUT", "/auth/password", own | {"json": passwords}),
        "switch": (client, "POST", "/auth/organization", own | {"json": {"organization": "other"}}),
        "admin session": (root.http, "DELETE", "/admin/sessions/{session}", {}),
        "admin sessions of a person": (root.http, "POST", "/admin/users/{user}/end-sessions", {}),
        "admin sessions of an organization": (
            *(root.http, "POST", "/admin/organizations/{acme}/end-sessions", {}),
        ),
        "disable person": (root.http, "POST", "/admin/users/{user}/disable", {}),
        "disable membership": (
            *(root.http, "POST", "/admin/users/{user}/disable?tenant_id={acme}", {}),
        ),
        "remove membership": (*(root.http, "DELETE", "/admin/users/{user}?tenant_id={acme}", {}),),
        "disable organization": (root.http, "POST", "/admin/organizations/{acme}/disable", {}),
        "disable client": (root.http, "POST", "/admin/clients/{client}/disable", {}),
        "rotate client": (
            *(root.http, "POST", "/admin/clients/{client}/rotate-secret"),
            {"json": {"overlap_seconds": 0}},
        ),
        "revoke key": (root.http, "POST", "/api-keys/{key}/revoke", {}),
        "delete key": (root.http, "DELETE", "/api-keys/{key}", {}),
        "rotate key": (root.http, "POST", "/api-keys/{key}/rotate", {"json": {}}),
        "by hand: sid": (
            *(root.http, "POST", "/revocations"),
            {"json": {"kind": "sid", "value": told["session"]}},
        ),
        "by hand: akid": (
            *(root.http, "POST", "/revocations"),
            {"json": {"kind": "akid", "value": key["id"]}},
        ),
        "by hand: sub": (
            *(root.http, "POST", "/revocations"),
            {"json": {"kind": "sub", "value": str(eve.user_id)}},
        ),
        "erase": (root.http, "DELETE", "/admin/users/{user}/personal-data", {}),
    }
    assert asked.keys() == {*DOORS}
    who, method, path, more = asked[door]
    where = path.format(**told)
    async with given.only_rows_where(rt, "auth_revocations", "false"):
        answer = await who.request(method, where, **more)
    assert answer.status_code >= 500, answer.text
    assert "set-cookie" not in answer.headers
    assert await everything(rt, but=COUNTED_BEFORE) == before
    assert await asking.me(client, signed_in) == 200
    # Asked again, when it can be written, it is done.
    again = await who.request(method, where, **more)
    assert again.status_code < 300, again.text
