"""/admin/clients: what a client may be, and what a change or a deletion does at once."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.domain.clients import CONSOLE
from service.flows.vault.recipients import create_recipient
from service.kernel import jose
from service.kernel.call import Call, Operator
from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.http.admin.test_clients import make, signed_in, token

Browser = Callable[..., httpx2.AsyncClient]
PUBLIC: dict[str, Any] = {
    "name": "app",
    "scopes": [],
    "token_endpoint_auth_method": "none",
    "redirect_uris": ["https://app.example.com/callback", "com.example.app:/callback"],
}

SAME_KID = [{**jose.Key("ES256", jose.generate("ES256")).jwk, "kid": "a"} for _ in range(2)]


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    return await signed_in(rt, browser(), email="owner@acme.example", role="owner")


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    return await signed_in(rt, browser(), email="root@top.example", slug="top", platform_admin=True)


async def faults(http: httpx2.AsyncClient, method: str, path: str, body: Any) -> set[str]:
    """Return the pointers of all that is wrong."""
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 400, answer.text
    return {fault["pointer"] for fault in answer.json()["errors"]}


async def test_a_public_client_has_no_secret_and_is_asked_for_pkce(
    rt: Runtime, owner: httpx2.AsyncClient
) -> None:
    made = await make(owner, **PUBLIC)
    assert made["client_secret"] is None
    assert made["proves_itself_by"] == "nothing"
    assert made["grant_types"] == ["authorization_code", "refresh_token"]
    assert made["require_pkce"]
    path = f"/admin/clients/{made['client_id']}"
    assert (await owner.post(f"{path}/rotate-secret", json={})).status_code == 409
    assert (await owner.get(path)).json() == {
        name: value for name, value in made.items() if name != "client_secret"
    }


async def test_all_that_is_wrong_is_said_at_once(owner: httpx2.AsyncClient) -> None:
    wrong = {
        "name": "app",
        "scopes": ["nothing-known"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["client_credentials"],
        "redirect_uris": ["https://good.example/", "http://evil.example/"],
        "post_logout_redirect_uris": ["https://*.example"],
        "origins": ["https://app.example.com/path"],
        "require_pkce": False,
        "profile": "fapi2",
        "backchannel_logout_uri": "http://app.example.com",
        "logo_uri": "javascript:alert(1)",
        "jwks": {"keys": [jose.Key("ES256", jose.generate("ES256")).jwk]},
    }
    expected = {
        "#/scopes",
        "#/grant_types",
        "#/redirect_uris/1",
        "#/post_logout_redirect_uris/0",
        "#/origins/0",
        "#/require_pkce",
        "#/profile",
        "#/backchannel_logout_uri",
        "#/logo_uri",
        "#/jwks",
    }
    assert await faults(owner, "POST", "/admin/clients", wrong) == expected
    made = await make(owner)
    del wrong["name"]
    assert await faults(owner, "PATCH", f"/admin/clients/{made['client_id']}", wrong) == expected


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"scopes": []}, "#/scopes"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "#/jwks"),
        ({"grant_types": ["authorization_code"]}, "#/redirect_uris"),
        ({"grant_types": []}, "#/grant_types"),
        ({"grant_types": ["password"]}, "#/grant_types/0"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "#/token_endpoint_auth_method"),
        ({"redirect_uris": ["com.example.app:/callback"]}, "#/redirect_uris/0"),
        ({"redirect_uris": ["https://a.example/"] * 21}, "#/redirect_uris"),
        ({"profile": "fapi2"}, "#/profile"),
        ({"jwks": {"keys": SAME_KID}}, "#/jwks"),
        ({"id_token_signed_response_alg": "none"}, "#/id_token_signed_response_alg"),
        ({"first_party": None}, "#/first_party"),
    ],
)
async def test_what_does_not_fit_a_client_is_refused(
    owner: httpx2.AsyncClient, more: dict[str, Any], pointer: str
) -> None:
    body = {"name": "s", "scopes": ["agentes"], **more}
    assert await faults(owner, "POST", "/admin/clients", body) == {pointer}


async def test_a_change_is_of_what_is_named_and_recorded_by_name(
    rt: Runtime, owner: httpx2.AsyncClient
) -> None:
    made = await make(owner, policy_uri="https://app.example.com/policy")
    path = f"/admin/clients/{made['client_id']}"
    changes = {
        "name": "Reports",
        "publisher": "Acme",
        "policy_uri": None,
        "redirect_uris": ["https://app.example.com/callback"],
        "grant_types": ["client_credentials", "authorization_code", "refresh_token"],
    }
    answer = await owner.patch(path, json=changes)
    expected = {name: value for name, value in made.items() if name != "client_secret"} | changes
    assert (answer.status_code, answer.json()) == (200, expected)
    assert (await owner.get(path)).json() == expected
    assert (await owner.patch(path, json=changes)).json() == expected
    (changed,) = await given.events(rt, "client.changed")
    assert changed["detail"] == {
        "client_id": made["client_id"],
        "fields": sorted(
            changes, key=["name", "grant_types", "redirect_uris", "publisher", "policy_uri"].index
        ),
    }


async def test_what_a_change_takes_away_dies_at_once_and_what_it_adds_kills_nothing(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", "agentes", organization="top")
    path = f"/admin/clients/{service.client_id}"
    more = {
        "name": "n",
        "origins": ["https://a.example"],
        "scopes": ["agentes", "revocations:read"],
    }
    assert (await root.patch(path, json=more)).status_code == 200
    assert (await service.get("/revocations")).status_code == 200
    assert (await root.patch(path, json={"scopes": ["agentes"]})).status_code == 200
    assert (await service.get("/revocations")).status_code == 401
    wider = await token(client, service.client_id, service.secret, scope="revocations:read")
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    good = await token(client, service.client_id, service.secret)
    assert (good.status_code, good.json()["scope"]) == (200, "agentes")


async def test_what_a_change_adds_works_at_once(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """A worker that knows the client from before reads it again before it refuses."""
    service = await a_service(rt, client, "agentes")
    path = f"/admin/clients/{service.client_id}"
    assert (await root.patch(path, json={"scopes": ["agentes", "revocations:read"]})).is_success
    wider = await token(client, service.client_id, service.secret, scope="revocations:read")
    assert (wider.status_code, wider.json()["scope"]) == (200, "revocations:read")


async def test_a_repeated_change_revokes_again_and_is_no_event(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """A 503 may mean that it was committed: a token may have been issued meanwhile."""
    service = await a_service(rt, client, "revocations:read", "agentes")
    path, narrow = f"/admin/clients/{service.client_id}", {"scopes": ["revocations:read"]}
    for body, revoked in (({"name": "a service"}, False), (narrow, True), (narrow, True)):
        before = await service.fresh_token()
        headers = {"authorization": f"Bearer {before}"}
        assert (await root.patch(path, json=body)).status_code == 200
        answer = await client.get("/revocations", headers=headers)
        assert answer.status_code == (401 if revoked else 200), body
    assert len(await given.events(rt, "client.changed")) == 1


async def test_a_grant_that_was_taken_away_is_refused_at_once(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "agentes")
    callback = ["https://app.example.com/callback"]
    changes = {"grant_types": ["authorization_code"], "redirect_uris": callback}
    path = f"/admin/clients/{service.client_id}"
    assert (await root.patch(path, json=changes)).status_code == 200
    answer = await token(client, service.client_id, service.secret)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize("act", ["delete", "no refresh"])
async def test_sessions_end_with_their_client_or_its_right_to_renew_them(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient, act: str
) -> None:
    app = (await make(owner, **PUBLIC))["client_id"]
    person = await given.a_person(rt)
    login = {"email": person.email, "password": person.password}
    assert (await client.post("/auth/login", json=login)).status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": client.cookies["__Host-refresh"]}
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_sessions SET client_id = $1 WHERE user_id = $2", app, person.user_id
        )
    answer = await client.post("/oauth/token", data={**form, "client_id": app})
    assert answer.status_code == 200
    bearing = {"authorization": f"Bearer {answer.json()['access_token']}"}
    form["refresh_token"] = answer.json()["refresh_token"]
    path = f"/admin/clients/{app}"
    if act == "delete":
        assert (await owner.delete(path)).status_code == 204
    else:
        changes = {"grant_types": ["authorization_code"]}
        assert (await owner.patch(path, json=changes)).status_code == 200
    assert (await client.get("/auth/me", headers=bearing)).status_code == 401
    assert await given.live_families(rt, person.user_id) == 0
    async with rt.pg.reading() as tx:
        why = await tx.fetchval(
            "SELECT ended_why FROM auth_sessions WHERE user_id = $1", person.user_id
        )
    assert why == "client_closed"
    assert (await owner.get("/auth/me")).status_code == 200
    refused = await client.post("/oauth/token", data={**form, "client_id": app})
    expected = (401, "invalid_client") if act == "delete" else (400, "invalid_grant")
    assert (refused.status_code, refused.json()["error"]) == expected


async def test_a_deleted_client_is_gone_and_its_tokens_with_it(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", organization="top")
    path = f"/admin/clients/{service.client_id}"
    assert (await service.get("/revocations")).status_code == 200
    assert (await root.delete(path)).status_code == 204
    assert (await service.get("/revocations")).status_code == 401
    assert (await token(client, service.client_id, service.secret)).status_code == 401
    assert (await root.get(path)).status_code == 404
    assert (await root.delete(path)).status_code == 404
    (deleted,) = await given.events(rt, "client.deleted")
    assert deleted["detail"] == {"client_id": service.client_id, "name": "a service", "sessions": 0}


async def test_who_is_handed_secrets_is_not_deleted(rt: Runtime, root: httpx2.AsyncClient) -> None:
    call = Call(request_id="r", at=rt.clock.now(), actor=Operator())
    made = await create_recipient(rt, call, "billing", None)
    answer = await root.delete(f"/admin/clients/{made.recipient.client_id}")
    assert (answer.status_code, "recipient" in answer.json()["detail"]) == (409, True)
    assert (await root.get(f"/admin/clients/{made.recipient.client_id}")).status_code == 200


async def test_the_console_is_read_and_changed_by_nobody(
    rt: Runtime, root: httpx2.AsyncClient, owner: httpx2.AsyncClient
) -> None:
    path = f"/admin/clients/{CONSOLE}"
    before = (await root.get(path)).json()
    assert (before["token_endpoint_auth_method"], before["first_party"]) == ("none", True)
    listed = (await root.get("/admin/clients?tenant_id=platform")).json()["items"]
    assert [one["client_id"] for one in listed] == [CONSOLE]
    for who, status in ((root, 409), (owner, 404)):
        for method, below, body in (
            ("PATCH", "", {"name": "Mine"}),
            ("PATCH", "", {"token_endpoint_auth_method": "client_secret_basic"}),
            ("POST", "/disable", None),
            ("POST", "/enable", None),
            ("POST", "/rotate-secret", {}),
            ("DELETE", "", None),
        ):
            answer = await who.request(method, path + below, json=body)
            assert answer.status_code == status, (method, below, answer.text)
    assert (await root.get(path)).json() == before
    assert (await owner.get("/auth/me")).status_code == 200


async def test_first_party_is_for_platform_administrators(
    rt: Runtime, root: httpx2.AsyncClient, owner: httpx2.AsyncClient
) -> None:
    """Whoever sets it, or where such a client sends people, would hold what its tokens open."""
    mine = await make(owner)
    refused = await owner.post("/admin/clients", json={**PUBLIC, "first_party": True})
    assert (refused.status_code, refused.json()["fields"]) == (403, ["first_party"])
    path = f"/admin/clients/{mine['client_id']}"
    assert (await owner.patch(path, json={"first_party": True})).status_code == 403
    assert (await root.patch(path, json={"first_party": True})).json()["first_party"]
    evil = {"redirect_uris": ["https://evil.example/"]}
    for body in (evil, {"first_party": False}, {"name": "mine"}):
        assert (await owner.patch(path, json=body)).status_code == 403
    assert (await owner.post(f"{path}/rotate-secret", json={})).status_code == 403
    assert (await owner.post(f"{path}/disable")).status_code == 204
    assert (await owner.post(f"{path}/enable")).status_code == 403
    assert (await root.post(f"{path}/enable")).status_code == 204
    assert not (await root.patch(path, json={"first_party": False})).json()["first_party"]


async def test_nobody_gives_a_client_scopes_they_do_not_hold(
    rt: Runtime, root: httpx2.AsyncClient, owner: httpx2.AsyncClient
) -> None:
    made = await make(owner)
    path = f"/admin/clients/{made['client_id']}"
    answer = await owner.patch(path, json={"scopes": ["agentes", "revocations:read"]})
    assert (answer.status_code, answer.json()["fields"]) == (403, ["scopes"])
    assert (await root.patch(path, json={"scopes": ["revocations:read"]})).status_code == 200
    assert (await owner.patch(path, json={"name": "mine"})).status_code == 403


async def test_a_client_changes_how_it_proves_itself(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """To keys the secret is gone; to a secret nobody knows one until it is rotated."""
    made = await make(owner)
    path = f"/admin/clients/{made['client_id']}"
    to_keys = {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [jose.Key("ES256", jose.generate("ES256")).jwk]},
    }
    assert (await owner.patch(path, json=to_keys)).json()["proves_itself_by"] == "keys"
    assert (await token(client, made["client_id"], made["client_secret"])).status_code == 401
    to_secret = {"token_endpoint_auth_method": "client_secret_post", "jwks": None}
    assert (await owner.patch(path, json=to_secret)).json()["proves_itself_by"] == "secret"
    assert (await token(client, made["client_id"], made["client_secret"])).status_code == 401
    fresh = (await owner.post(f"{path}/rotate-secret", json={})).json()["client_secret"]
    assert (await token(client, made["client_id"], fresh)).status_code == 200
    form = {"client_id": made["client_id"], "client_secret": fresh}
    grant = {"grant_type": "client_credentials"}
    assert (await client.post("/oauth/token", data=form | grant)).status_code == 200
