"""/admin/clients: secrets shown once, walls kept, a disabled client silent at once."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from service.domain import clients, revocations
from service.domain.clients import Client
from service.domain.revocations import Kind
from service.flows.oauth.authenticate_client import ClientCredentials, authenticate_client
from service.flows.oauth.client_credentials import mint_for_client
from service.kernel import jose
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime, open_runtime
from tests import given
from tests.clients import a_service

Browser = Callable[..., httpx2.AsyncClient]
SERVICE = {"name": "reports", "scopes": ["agentes"]}


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> httpx2.AsyncClient:
    person = await given.a_person(rt, **who)
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    return await signed_in(rt, browser(), email="owner@acme.example", role="owner")


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    return await signed_in(rt, browser(), email="root@top.example", slug="top", platform_admin=True)


async def make(who: httpx2.AsyncClient, where: str = "", **more: Any) -> dict[str, Any]:
    answer = await who.post(f"/admin/clients{where}", json={**SERVICE, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def token(
    http: httpx2.AsyncClient, client_id: str, secret: str, **more: str
) -> httpx2.Response:
    form = {"grant_type": "client_credentials", **more}
    return await http.post("/oauth/token", data=form, auth=(client_id, secret))


async def test_a_service_is_made_and_its_secret_shown_once(
    rt: Runtime, owner: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    made = await make(owner)
    answer = await token(client, made["client_id"], made["client_secret"])
    claims = given.claims(answer.json()["access_token"])
    assert (claims["client_id"], claims["tenant_id"]) == (made["client_id"], made["tenant_id"])
    page = await owner.get("/admin/clients")
    one = await owner.get(f"/admin/clients/{made['client_id']}")
    assert page.json() == {"items": [one.json()], "next_cursor": None}
    assert one.json() == {
        "client_id": made["client_id"],
        "tenant_id": made["tenant_id"],
        "name": "reports",
        "scopes": ["agentes"],
        "proves_itself_by": "secret",
        "created_at": made["created_at"],
        "disabled_at": None,
        "old_secret_until": None,
        "jwks": None,
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "post_logout_redirect_uris": [],
        "origins": [],
        "first_party": False,
        "require_pkce": True,
        "profile": None,
        "id_token_signed_response_alg": "RS256",
        "backchannel_logout_uri": None,
        "publisher": None,
        "logo_uri": None,
        "policy_uri": None,
        "tos_uri": None,
    }
    assert made == one.json() | {"client_secret": made["client_secret"]}
    (created,) = await given.events(rt, "client.created")
    assert created["detail"] == {"client_id": made["client_id"], "scopes": ["agentes"]}
    async with rt.pg.reading() as tx:
        rows = await tx.fetch("SELECT to_json(t)::text AS told FROM auth_clients t")
    assert made["client_secret"] not in str(rows) + str(await given.events(rt))


async def test_a_service_with_keys_has_no_secret_to_rotate(
    rt: Runtime, owner: httpx2.AsyncClient
) -> None:
    jwk = jose.Key("ES256", jose.generate("ES256")).jwk
    made = await make(owner, jwks={"keys": [jwk]})
    assert made["client_secret"] is None
    path = f"/admin/clients/{made['client_id']}"
    assert (await owner.get(path)).json()["proves_itself_by"] == "keys"
    assert (await owner.post(f"{path}/rotate-secret", json={})).status_code == 409


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "P-999", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "\u00e9"},
        {"kty": "RSA", "n": "", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 400, "e": "AQAB"},
        {"kty": "nothing"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "OKP", "crv": "X448", "x": "A" * 75},
        OKPKey.generate_key("Ed448", private=False).as_dict(private=False),
        OKPKey.generate_key("X25519", private=False).as_dict(private=False),
        ECKey.generate_key("P-384", private=False).as_dict(private=False),
        {**ECKey.generate_key("P-256", private=False).as_dict(private=False), "use": "enc"},
        {**ECKey.generate_key("P-256", private=False).as_dict(private=False), "alg": "ES512"},
    ],
)
async def test_keys_that_verify_nothing_are_refused(
    owner: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    answer = await owner.post("/admin/clients", json={**SERVICE, "jwks": {"keys": [key]}})
    assert (answer.status_code, answer.json()["fields"]) == (400, ["jwks"])


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-256", private=False),
        OKPKey.generate_key("Ed25519", private=False),
        RSAKey.generate_key(2048, private=False),
    ],
)
@pytest.mark.parametrize("more", [{}, {"use": "sig", "kid": "one"}])
async def test_keys_of_every_algorithm_that_assertions_may_have_are_taken(
    owner: httpx2.AsyncClient, key: ECKey | OKPKey | RSAKey, more: dict[str, str]
) -> None:
    await make(owner, jwks={"keys": [{**key.as_dict(private=False), **more}]})


async def test_a_private_key_is_refused(owner: httpx2.AsyncClient) -> None:
    private = ECKey.import_key(jose.generate("ES256")).as_dict(private=True)
    answer = await owner.post("/admin/clients", json={**SERVICE, "jwks": {"keys": [private]}})
    assert (answer.status_code, answer.json()["fields"]) == (400, ["jwks"])
    assert str(private["d"]) not in answer.text


async def test_a_disabled_service_is_silent_until_it_is_enabled(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", organization="top")
    path = f"/admin/clients/{service.client_id}"
    assert (await service.get("/revocations")).status_code == 200
    assert (await root.post(f"{path}/disable")).status_code == 204
    assert (await service.get("/revocations")).status_code == 401
    assert (await token(client, service.client_id, service.secret)).status_code == 401
    assert (await root.post(f"{path}/disable")).status_code == 204
    assert (await root.get(path)).json()["disabled_at"] is not None
    assert (await root.post(f"{path}/enable")).status_code == 204
    assert (await root.post(f"{path}/enable")).status_code == 204
    rt.clock.advance(3 * given.A_SECOND)
    again = await token(client, service.client_id, service.secret)
    bearing = {"authorization": f"Bearer {again.json()['access_token']}"}
    assert (await client.get("/revocations", headers=bearing)).status_code == 200
    assert (await service.get("/revocations")).status_code == 401  # the old token stays dead
    kinds = await given.kinds(rt)
    assert (kinds.count("client.disabled"), kinds.count("client.enabled")) == (1, 1)


async def test_a_token_granted_while_disabling_waits_dies_too(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", organization="top")
    async with rt.pg.decision() as tx:
        await tx.execute(
            "SELECT FROM auth_clients WHERE client_id = $1 FOR UPDATE", service.client_id
        )
        disabling = asyncio.create_task(root.post(f"/admin/clients/{service.client_id}/disable"))
        await asyncio.sleep(1.1)
        late = await token(client, service.client_id, service.secret)
    assert (await disabling).status_code == 204
    bearing = {"authorization": f"Bearer {late.json()['access_token']}"}
    assert (await client.get("/revocations", headers=bearing)).status_code == 401


async def test_a_secret_that_leaked_is_replaced_and_its_tokens_die(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", organization="top")
    path = f"/admin/clients/{service.client_id}/rotate-secret"
    fresh = (await root.post(path, json={})).json()["client_secret"]
    assert fresh != service.secret
    assert (await service.get("/revocations")).status_code == 401
    assert (await token(client, service.client_id, service.secret)).status_code == 401
    assert (await token(client, service.client_id, fresh)).status_code == 200
    (rotated,) = await given.events(rt, "client.secret_rotated")
    assert rotated["detail"] == {"client_id": service.client_id, "overlap_seconds": 0}
    assert fresh not in str(await given.events(rt))


async def test_during_an_overlap_both_secrets_work_on_every_worker(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """Also on one that has just seen the client with its old secret."""
    service = await a_service(rt, client, "revocations:read", organization="top")
    async with open_runtime(
        rt.settings, clock=rt.clock, policy=rt.policy, passwords=rt.passwords
    ) as other:
        known = ClientCredentials(service.client_id, service.secret)
        await authenticate_client(other, call_at(other), known)
        path = f"/admin/clients/{service.client_id}/rotate-secret"
        answer = await root.post(path, json={"overlap_seconds": 3600})
        fresh = answer.json()["client_secret"]
        for secret in (service.secret, fresh):
            assert (await token(client, service.client_id, secret)).status_code == 200
            shown = ClientCredentials(service.client_id, secret)
            await authenticate_client(other, call_at(other), shown)
    assert (await service.get("/revocations")).status_code == 200
    rt.clock.advance(3601 * given.A_SECOND)
    assert (await token(client, service.client_id, service.secret)).status_code == 401
    assert (await token(client, service.client_id, fresh)).status_code == 200


@pytest.mark.parametrize("seconds", [-1, 1, 59, 604_801, 1e400, "60", True])
async def test_an_overlap_out_of_bounds_is_refused(
    owner: httpx2.AsyncClient, seconds: object
) -> None:
    made = await make(owner)
    body = msgspec.json.encode({"overlap_seconds": seconds})
    answer = await owner.post(
        f"/admin/clients/{made['client_id']}/rotate-secret",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["fields"]) == (400, ["overlap_seconds"])


async def test_nobody_grants_a_scope_they_do_not_hold(
    owner: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    for scope in ("revocations:read", "api-keys:verify", "secrets:sealed"):
        answer = await owner.post("/admin/clients", json={**SERVICE, "scopes": [scope]})
        assert (answer.status_code, answer.json()["fields"]) == (403, ["scopes"])
        await make(root, scopes=[scope])
    unknown = await owner.post("/admin/clients", json={**SERVICE, "scopes": ["everything"]})
    assert (unknown.status_code, unknown.json()["fields"]) == (400, ["scopes"])


@pytest.mark.parametrize(("role", "reads"), [("admin", True), ("auditor", True), ("member", False)])
async def test_who_may_what(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser, role: str, *, reads: bool
) -> None:
    made = await make(owner)
    path = f"/admin/clients/{made['client_id']}"
    who = await signed_in(rt, browser(), email="x@acme.example", role=role)
    statuses = [
        (await who.get("/admin/clients")).status_code,
        (await who.get(path)).status_code,
        (await who.post("/admin/clients", json=SERVICE)).status_code,
        (await who.post(f"{path}/rotate-secret", json={})).status_code,
        (await who.post(f"{path}/disable")).status_code,
        (await who.post(f"{path}/enable")).status_code,
    ]
    keeps = role == "admin"
    assert statuses == [200 if reads else 403] * 2 + ([201, 200, 204, 204] if keeps else [403] * 4)


async def test_services_of_the_platform_are_the_platform_s(
    rt: Runtime, owner: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    made = await make(root, "?tenant_id=platform", scopes=["revocations:read"])
    assert made["tenant_id"] is None
    listed = await root.get("/admin/clients?tenant_id=platform")
    assert made["client_id"] in [one["client_id"] for one in listed.json()["items"]]
    mine = (await root.get("/auth/me")).json()["organization"]["id"]
    assert (await root.get("/admin/clients")).json() == listed.json()  # as of /admin/secrets
    assert (await root.get(f"/admin/clients?tenant_id={mine}")).json()["items"] == []
    path = f"/admin/clients/{made['client_id']}"
    assert (await owner.get("/admin/clients?tenant_id=platform")).status_code == 403
    assert (await owner.get(path)).status_code == 404
    assert (await owner.post(f"{path}/disable")).status_code == 404
    assert (await root.post(f"{path}/disable")).status_code == 204
    assert await given.events(rt, "organization.crossed") == []


async def test_every_crossing_names_both(
    rt: Runtime, owner: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    there = (await owner.get("/auth/me")).json()["organization"]["id"]
    here = (await root.get("/auth/me")).json()["organization"]["id"]
    made = await make(root, f"?tenant_id={there}")
    path = f"/admin/clients/{made['client_id']}"
    await root.get(path)
    await root.get(f"/admin/clients?tenant_id={there}")
    await root.post(f"{path}/rotate-secret", json={})
    await root.post(f"{path}/disable")
    await root.post(f"{path}/enable")
    told = await given.events(
        rt,
        "client.created",
        "organization.crossed",
        "client.secret_rotated",
        "client.disabled",
        "client.enabled",
    )
    assert len(told) == 6
    assert {str(event["tenant_id"]) for event in told} == {there}
    assert {event["detail"]["crossing_from"] for event in told} == {here}


async def test_pages_of_services_join(owner: httpx2.AsyncClient) -> None:
    made = {(await make(owner, name=f"s{number}"))["client_id"] for number in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await owner.get(f"/admin/clients?limit=2{cursor}")).json()
        seen += [item["client_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert (len(seen), set(seen)) == (5, made)
    for foreign in ("AAAA", "A" * 60, ""):
        answer = await owner.get(f"/admin/clients?cursor={foreign}")
        assert (answer.status_code, answer.json()["fields"]) == (400, ["cursor"])


@pytest.mark.parametrize("name", ["%00", "a%00b", "x" * 5000, "%ff", "%E2%80%AE", "..%2f..", "'"])
async def test_a_name_that_is_none_is_404(owner: httpx2.AsyncClient, name: str) -> None:
    assert (await owner.get(f"/admin/clients/{name}")).status_code in (400, 404)


async def test_services_of_a_disabled_organization_get_no_token_on_any_worker(
    rt: Runtime, owner: httpx2.AsyncClient, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """Nor on one that has just seen the client; enabled again, they get good ones at once."""
    made = await make(owner)
    own = await make(root, "?tenant_id=platform", scopes=["revocations:read"])
    mine = presented(made)
    async with open_runtime(
        rt.settings, clock=rt.clock, policy=rt.policy, passwords=rt.passwords
    ) as other:
        await authenticate_client(other, call_at(other), mine)
        path = f"/admin/organizations/{made['tenant_id']}"
        assert (await root.post(f"{path}/disable")).status_code == 204
        await other.revocations.catch_up()
        with pytest.raises(Refused) as refused:
            await authenticate_client(other, call_at(other), mine)
        assert refused.value.reason is Reason.INVALID_CLIENT
    assert (await token(client, made["client_id"], made["client_secret"])).status_code == 401
    assert (await token(client, own["client_id"], own["client_secret"])).status_code == 200
    assert (await root.post(f"{path}/enable")).status_code == 204
    assert await is_active(
        client, own, await token(client, made["client_id"], made["client_secret"])
    )


async def test_nobody_takes_scopes_they_do_not_hold_by_another_s_service(
    owner: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    there = (await owner.get("/auth/me")).json()["organization"]["id"]
    made = await make(root, f"?tenant_id={there}", scopes=["revocations:read"])
    path = f"/admin/clients/{made['client_id']}"
    for body in ({}, {"overlap_seconds": 60}):
        assert (await owner.post(f"{path}/rotate-secret", json=body)).status_code == 403
    assert (await owner.post(f"{path}/disable")).status_code == 204
    assert (await owner.post(f"{path}/enable")).status_code == 403
    assert (await owner.get(path)).json()["disabled_at"] is not None
    assert (await root.post(f"{path}/enable")).status_code == 204
    assert (await root.post(f"{path}/rotate-secret", json={})).status_code == 200


async def test_a_stale_worker_asks_before_it_believes_a_client(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """Its own loops dead, a client disabled by another worker; then nobody to ask."""
    kept, gone = await make(root), await make(root)
    async with open_runtime(
        rt.settings, clock=rt.clock, policy=rt.policy, passwords=rt.passwords
    ) as other:
        for made in (kept, gone):
            await authenticate_client(other, call_at(other), presented(made))
        await other.revocations.stop()
        assert (await root.post(f"/admin/clients/{gone['client_id']}/disable")).status_code == 204
        await until_stale(other)
        with pytest.raises(Refused) as refused:
            await authenticate_client(other, call_at(other), presented(gone))
        assert refused.value.reason is Reason.INVALID_CLIENT
        await other.pg.close()
        await until_stale(other)
        with pytest.raises(Refused) as refused:
            await authenticate_client(other, call_at(other), presented(kept))
        assert refused.value.reason is Reason.UNAVAILABLE


async def test_a_client_read_while_it_is_being_disabled_is_not_believed(
    rt: Runtime, root: httpx2.AsyncClient
) -> None:
    """However long the act takes between its cutoff and its commit."""
    made = await make(root)
    async with rt.pg.decision() as tx:
        await clients.set_disabled(tx, await a_client_row(rt, made["client_id"]), rt.clock.now())
        await revocations.revoke(
            tx,
            Kind.CLIENT_ID,
            [made["client_id"]],
            tenant_id=None,
            reason="a long act",
            at=rt.clock.now(),
            expires_at=rt.clock.now() + 3600 * given.A_SECOND,
        )
        rt.clock.advance(5 * given.A_SECOND)
        await authenticate_client(rt, call_at(rt), presented(made))
    with pytest.raises(Refused) as refused:
        await authenticate_client(rt, call_at(rt), presented(made))
    assert refused.value.reason is Reason.INVALID_CLIENT


async def test_disabling_again_kills_what_was_granted_in_between(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    service = await a_service(rt, client, "revocations:read", organization="top")
    path = f"/admin/clients/{service.client_id}/disable"
    assert (await root.post(path)).status_code == 204
    known = await a_client_row(rt, service.client_id)
    rt.clock.advance(3 * given.A_SECOND)
    late = mint_for_client(rt, rt.clock.now(), known, None).access_token
    bearing = {"authorization": f"Bearer {late}"}
    assert (await client.get("/revocations", headers=bearing)).status_code == 200
    assert (await root.post(path)).status_code == 204
    assert (await client.get("/revocations", headers=bearing)).status_code == 401
    assert (await given.kinds(rt)).count("client.disabled") == 1


async def test_the_token_fetched_right_after_a_change_is_good(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """A rotation, and an end of being disabled: the good secret waits, but never for nothing."""
    own, made = await make(root, scopes=["api-keys:verify"]), await make(root)
    path = f"/admin/clients/{made['client_id']}"
    fresh = (await root.post(f"{path}/rotate-secret", json={})).json()["client_secret"]
    assert await is_active(client, own, await token(client, made["client_id"], fresh))
    for act in ("disable", "enable"):
        assert (await root.post(f"{path}/{act}")).status_code == 204
    assert await is_active(client, own, await token(client, made["client_id"], fresh))


async def test_who_waits_for_a_cutoff_while_the_secret_changes_gets_nothing(
    rt: Runtime, root: httpx2.AsyncClient, client: httpx2.AsyncClient
) -> None:
    """A secret that leaked is not carried over a rotation by the wait."""
    made = await make(root)
    path = f"/admin/clients/{made['client_id']}"
    leaked = (await root.post(f"{path}/rotate-secret", json={})).json()["client_secret"]
    waiting = asyncio.create_task(token(client, made["client_id"], leaked))
    await asyncio.sleep(0.1)
    assert (await root.post(f"{path}/rotate-secret", json={})).status_code == 200
    answer = await waiting
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


def presented(made: dict[str, Any]) -> ClientCredentials:
    return ClientCredentials(made["client_id"], made["client_secret"])


def call_at(rt: Runtime) -> Call:
    return Call(request_id=uuid4().hex, at=rt.clock.now())


async def until_stale(rt: Runtime) -> None:
    while rt.revocations.is_fresh():
        await asyncio.sleep(0.05)


async def a_client_row(rt: Runtime, client_id: str) -> Client:
    async with rt.pg.reading() as tx:
        found = await clients.find(tx, client_id)
    assert found is not None
    return found


async def is_active(http: httpx2.AsyncClient, by: dict[str, Any], issued: httpx2.Response) -> bool:
    assert issued.status_code == 200, issued.text
    answer = await http.post(
        "/oauth/introspect",
        data={"token": issued.json()["access_token"]},
        auth=(by["client_id"], by["client_secret"]),
    )
    active: bool = answer.json()["active"]
    return active
