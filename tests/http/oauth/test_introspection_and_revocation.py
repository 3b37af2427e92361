"""/oauth/introspect (RFC 7662) and /oauth/revoke (RFC 7009)."""

import re
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx2
import msgspec
import pytest

from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service

Browser = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def service(rt: Runtime, browser: Browser) -> Machine:
    return await a_service(rt, browser(), "agentes")


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> dict[str, Any]:
    person = await given.a_person(rt, **who)
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    told: dict[str, Any] = answer.json()
    return told


async def test_a_good_token_is_described_and_a_revoked_one_is_only_inactive(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    told = await signed_in(rt, client)
    answer = await service.ask("/oauth/introspect", token=told["access_token"])
    described = answer.json()
    assert described["active"] is True
    assert described["sid"] == told["session_id"]
    assert described == {
        **given.claims(told["access_token"]),
        "active": True,
        "token_type": "Bearer",
    }
    await client.post("/auth/logout", json={})
    gone = await service.ask("/oauth/introspect", token=told["access_token"])
    assert (gone.status_code, gone.json()) == (200, {"active": False})


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 5000])
async def test_what_is_no_token_is_inactive(service: Machine, token: str) -> None:
    answer = await service.ask("/oauth/introspect", token=token)
    assert (answer.status_code, answer.json()) == (200, {"active": False})


async def test_a_stranger_is_told_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/oauth/introspect", data={"token": "x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    console = await client.post("/oauth/introspect", data={"token": "x", "client_id": "console"})
    assert console.status_code == 401


async def test_a_service_of_one_organization_sees_no_others_tokens(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser
) -> None:
    told = await signed_in(rt, client)
    await given.an_organization(rt, "evil")
    foreign = await a_service(rt, browser(), "agentes", organization="evil")
    own = await a_service(rt, browser(), "agentes", organization="acme")
    answer = await foreign.ask("/oauth/introspect", token=told["access_token"])
    assert answer.json() == {"active": False}
    assert (await own.ask("/oauth/introspect", token=told["access_token"])).json()["active"]


async def test_introspection_checks_and_me_ask_postgresql_nothing(
    rt: Runtime,
    client: httpx2.AsyncClient,
    browser: Browser,
    service: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = await signed_in(rt, client)
    reader = await a_service(rt, browser(), "revocations:read")
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    await rt.revocations.stop()  # the follower's own look at the table is not a request's
    rt.revocations._fresh_as_of = float("inf")  # healthy, however long this test takes
    asked: list[str] = []

    def count(name: str) -> None:
        original = getattr(asyncpg.Connection, name)

        async def counted(self: Any, query: str, *given: Any, **named: Any) -> Any:
            asked.append(query)
            return await original(self, query, *given, **named)

        monkeypatch.setattr(asyncpg.Connection, name, counted)

    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
        count(name)

    async def ask_everything() -> None:
        assert (await client.get("/auth/me")).status_code == 200
        assert (await service.ask("/oauth/introspect", token=told["access_token"])).json()["active"]
        checked = await reader.post("/revocations/check", json={"jtis": ["a"]})
        assert checked.status_code == 200
        assert (await reader.get("/revocations/a")).status_code == 200
        assert (await reader.get("/revocations?after=0")).status_code == 200

    for _ in range(3):
        await ask_everything()
    assert asked == []
    # A worker that cannot vouch for its memory reads, and does no more than that.
    rt.revocations._fresh_as_of = float("-inf")
    await rt.redis.client.flushdb()
    assert (await client.get("/auth/me")).status_code == 200
    await ask_everything()
    assert asked
    statements = [re.sub(r"^--.*\n", "", query, flags=re.MULTILINE) for query in asked]
    assert {statement.split()[0] for statement in statements} == {"SELECT"}


async def test_a_client_revokes_its_own_token_and_no_others(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser, service: Machine
) -> None:
    other = await a_service(rt, browser(), "agentes")
    refused = await other.ask("/oauth/revoke", token=service.token)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert (await other.ask("/oauth/introspect", token=service.token)).json()["active"]
    revoked = await service.ask("/oauth/revoke", token=service.token)
    assert (revoked.status_code, revoked.content) == (200, b"{}")
    answer = await other.ask("/oauth/introspect", token=service.token)
    assert answer.json() == {"active": False}
    again = await service.ask("/oauth/revoke", token=service.token)
    assert again.status_code == 200
    assert len(rt.revocations.memory) == 1  # a good token in a loop fills nobody's memory
    assert len(await given.events(rt, "revocation.created")) == 1


async def test_an_unknown_token_is_no_failure(service: Machine) -> None:
    assert (await service.ask("/oauth/revoke", token="nonsense")).status_code == 200


async def test_revoking_a_refresh_token_ends_its_session(
    rt: Runtime, client: httpx2.AsyncClient, service: Machine
) -> None:
    told = await signed_in(rt, client)
    token = client.cookies["__Host-refresh"]
    stolen = await service.ask("/oauth/revoke", token=token)
    assert stolen.json()["error"] == "unauthorized_client"
    assert await given.live_families(rt) == 1
    answer = await client.post("/oauth/revoke", data={"token": token, "client_id": "console"})
    assert answer.status_code == 200
    assert await given.live_families(rt) == 0
    gone = await service.ask("/oauth/introspect", token=told["access_token"])
    assert gone.json() == {"active": False}


async def test_with_postgresql_failing_a_revoke_is_never_acknowledged(
    rt: Runtime, service: Machine
) -> None:
    await rt.pg._pool.close()  # as when the server is gone: every use of the pool fails
    answer = await service.ask("/oauth/revoke", token=service.token)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_token_for_another_service_is_described_and_revoked_as_one_for_this(
    rt: Runtime, service: Machine
) -> None:
    claims = {**given.claims(service.token), "aud": "https://reports.example"}
    token = rt.keyring.signing(rt.clock.now()).sign(msgspec.json.encode(claims))
    assert (await service.ask("/oauth/introspect", token=token)).json()["active"]
    assert (await service.ask("/oauth/revoke", token=token)).status_code == 200
    answer = await service.ask("/oauth/introspect", token=token)
    assert answer.json() == {"active": False}
    (event,) = await given.events(rt, "revocation.created")
    assert event["detail"]["value"] == claims["jti"]
