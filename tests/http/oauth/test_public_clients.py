"""Clients without a credential: known by their id, and held to what was issued to them."""

import httpx2
import pytest

from service.domain.audit import events
from service.domain.clients import CONSOLE
from service.runtime import Runtime
from tests import given
from tests.clients import a_service


async def sign_in(rt: Runtime, client: httpx2.AsyncClient) -> str:
    """Return the refresh token of somebody who is signed in to the console."""
    person = await given.a_person(rt)
    login = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert login.status_code == 200
    return client.cookies["__Host-refresh"]


async def renew(client: httpx2.AsyncClient, token: str, **more: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "client_id": CONSOLE, "refresh_token": token}
    return await client.post("/oauth/token", data={**form, **more})


async def test_a_refresh_by_form_costs_the_one_statement_that_one_by_cookie_does(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await sign_in(rt, client)
    unknown = await renew(client, "x")  # the console is read, and known from here on
    assert unknown.json()["error"] == "invalid_grant"
    async with given.statements(rt) as by_cookie:
        assert (await client.post("/auth/refresh", json={})).status_code == 200
    async with given.statements(rt) as by_form:
        answer = await renew(client, client.cookies["__Host-refresh"])
    assert answer.status_code == 200
    async with given.statements(rt) as narrowed:
        answer = await renew(client, answer.json()["refresh_token"], scope="agentes")
    assert (answer.status_code, answer.json()["scope"]) == (200, "agentes")
    assert len(by_cookie) == 1
    assert by_form == narrowed == by_cookie


async def test_a_public_client_is_refused_another_one_s_token_which_lives_on(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    token = await sign_in(rt, client)
    app = await given.a_public_client(rt)
    for more in ({}, {"scope": "agentes"}, {"scope": "nothing-known"}):
        stolen = await renew(client, token, client_id=app, **more)
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        revoked = await client.post("/oauth/revoke", data={"token": token, "client_id": app})
        assert (revoked.status_code, revoked.json()["error"]) == (400, "unauthorized_client")
    await given.no_grace(rt)
    assert (await renew(client, token)).status_code == 200
    assert events.FamilyBurned.__struct_config__.tag not in await given.kinds(rt)


async def test_the_console_s_cookie_renews_no_other_client_s_session(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await sign_in(rt, client)
    app = await given.a_public_client(rt)
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_sessions SET client_id = $1", app)
    token = client.cookies["__Host-refresh"]
    assert (await client.post("/auth/refresh", json={})).status_code == 401
    assert (await renew(client, token, client_id=app)).status_code == 200


@pytest.mark.parametrize("change", ["disabled_at = now()", "grant_types = '{}'"])
async def test_a_session_ends_to_be_renewed_with_its_client_s_right_to(
    rt: Runtime, client: httpx2.AsyncClient, change: str
) -> None:
    """By the row, whatever a worker remembers of the client."""
    token = await sign_in(rt, client)
    app = await given.a_public_client(rt)
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_sessions SET client_id = $1", app)
    answer = await renew(client, token, client_id=app)
    assert answer.status_code == 200
    async with rt.pg.autocommit() as tx:
        await tx.execute(f"UPDATE auth_clients SET {change} WHERE client_id = $1", app)
    answer = await renew(client, answer.json()["refresh_token"], client_id=app)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_public_client_speaks_for_nobody_but_itself(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    app = await given.a_public_client(rt)
    for path, form in (
        ("/oauth/token", {"grant_type": "client_credentials"}),
        ("/oauth/introspect", {"token": "x"}),
    ):
        for client_id in (app, CONSOLE):
            answer = await client.post(path, data={**form, "client_id": client_id})
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_client_with_a_secret_is_not_known_by_its_id_alone(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    """And whether one is there is not told."""
    token = await sign_in(rt, client)
    service = await a_service(rt, client, "agentes")
    answers = [
        await renew(client, token, client_id=client_id)
        for client_id in (service.client_id, "svc_nobody", f"{CONSOLE}x")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    for more in ({"client_secret": "x"}, {"client_secret": service.secret}):
        answer = await renew(client, token, **more)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert (await renew(client, token)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "disabled_at = now()",
        "token_endpoint_auth_method = 'client_secret_basic', secret_mac = sha256('x')",
        "jwks = '{}'",
        "first_party = false",
        "grant_types = '{}'",
        "require_pkce = false",
        "tenant_id = (SELECT tenant_id FROM auth_organizations LIMIT 1)",
    ],
)
async def test_the_database_itself_keeps_the_console_as_it_is(rt: Runtime, change: str) -> None:
    await given.an_organization(rt)
    async with rt.pg.autocommit() as tx:
        with pytest.raises(Exception, match="violates check constraint"):
            await tx.execute(f"UPDATE auth_clients SET {change} WHERE client_id = 'console'")
