"""A request that comes again under its Idempotency-Key makes nothing more, and shows no secret."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from service.embedded.checkout import ROOT
from service.flows.upkeep.prune import prune
from service.kernel.call import Call
from service.kernel.postgres import connect_once
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.keys import Owner, an_owner, body
from tests.world import ORIGIN

Browser = Callable[..., httpx2.AsyncClient]
KEY = {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
SECRET = {"/api-keys": "secret", "/api-keys/{key_id}/rotate": "secret"}
SECRET |= {"/admin/clients": "client_secret", "/admin/users": "link"}

_OPENAPI = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())


def creating() -> list[str]:
    """Return the paths whose POST answers 201; an export leaves no file when it is cut off."""
    return [
        path
        for path, operations in _OPENAPI["paths"].items()
        if "201" in operations.get("post", {}).get("responses", {})
        and not path.endswith("/exports")
    ]


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> Owner:
    await given.no_pending_key(rt)
    return await an_owner(rt, browser(), platform_admin=True)


async def asked(root: Owner, path: str) -> tuple[str, dict[str, Any]]:
    """Return where to ask, and with what."""
    match path:
        case "/api-keys":
            return path, {"json": body()}
        case "/api-keys/{key_id}/rotate":
            made = await root.create()
            return f"/api-keys/{made['id']}/rotate", {"json": {"overlap_seconds": 60}}
        case "/admin/clients":
            return path, {"json": {"name": "a service", "scopes": ["agentes"]}}
        case "/admin/organizations":
            return path, {"json": {"slug": "globex", "name": "Globex"}}
        case "/admin/users":
            return path, {"json": {"email": "new@acme.example"}}
        case "/admin/signing-keys":
            return path, {}
        case "/revocations":
            made = await root.create()
            return path, {"json": {"kind": "akid", "value": made["id"]}}
        case _:
            raise AssertionError(f"{path} creates, and nobody asks it twice")


def without_secret(path: str, told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != SECRET.get(path)}


@pytest.mark.parametrize("path", creating())
async def test_asked_again_it_is_made_once_and_shows_no_secret(
    rt: Runtime, root: Owner, path: str
) -> None:
    where, sent = await asked(root, path)
    before = await given.kinds(rt)
    first = await root.ask("POST", where, headers=KEY, **sent)
    events = await given.kinds(rt)
    assert first.status_code == 201, first.text
    assert len(events) == len(before) + 1
    if path in SECRET:
        assert first.json()[SECRET[path]]
    for _ in range(2):
        again = await root.ask("POST", where, headers=KEY, **sent)
        assert again.status_code == 201, again.text
        assert without_secret(path, again.json()) == without_secret(path, first.json())
        if path in SECRET:
            assert again.json()[SECRET[path]] is None
    assert await given.kinds(rt) == events
    async with rt.pg.reading() as tx:
        kept = str(await tx.fetch("SELECT * FROM auth_idempotency"))
    for hidden in (KEY["idempotency-key"], first.json().get(SECRET.get(path, "")), "acme"):
        assert hidden is None or hidden not in kept


@pytest.mark.parametrize("path", creating())
def test_the_document_tells_of_the_header(path: str) -> None:
    names = [one["name"] for one in _OPENAPI["paths"][path]["post"]["parameters"]]
    assert "Idempotency-Key" in names


async def test_another_request_under_the_same_key_is_refused(rt: Runtime, root: Owner) -> None:
    made = (await root.ask("POST", "/api-keys", headers=KEY, json=body())).json()
    for path, sent in (
        ("/api-keys", body(name="another")),
        ("/api-keys", body(scopes=["proxy-ollama"])),
        ("/admin/clients", {"name": "a service", "scopes": ["agentes"]}),
        (f"/api-keys/{made['id']}/rotate", {}),
    ):
        answer = await root.ask("POST", path, headers=KEY, json=sent)
        assert (answer.status_code, answer.json()["type"]) == (
            422,
            "urn:tesserra:refusal:idempotency_key_reused",
        )
    assert len(await given.events(rt, "api_key.created", "client.created")) == 1
    assert (await root.ask("POST", "/api-keys", headers=KEY, json=body())).json()["id"] == made[
        "id"
    ]


async def test_the_query_is_part_of_the_request(rt: Runtime, root: Owner) -> None:
    globex = await given.an_organization(rt, "globex")
    sent = {"name": "a service", "scopes": ["agentes"]}
    here = await root.ask("POST", "/admin/clients", headers=KEY, json=sent)
    there = f"/admin/clients?tenant_id={globex}"
    answer = await root.ask("POST", there, headers=KEY, json=sent)
    assert (here.status_code, answer.status_code) == (201, 422)


async def test_each_person_has_their_own_keys(rt: Runtime, root: Owner, browser: Browser) -> None:
    others = [
        await an_owner(rt, browser(), "bob@acme.example"),
        await an_owner(rt, browser(), "eve@evil.example", slug="evil"),
    ]
    made = {
        (await one.ask("POST", "/api-keys", headers=KEY, json=body())).json()["secret"]
        for one in (root, *others)
    }
    assert len(made) == 3
    assert None not in made


async def test_one_person_has_their_own_keys_in_each_organization(rt: Runtime, root: Owner) -> None:
    globex = await given.an_organization(rt, "globex")
    await given.a_membership(rt, root.person.user_id, globex, "owner")
    first = await root.ask("POST", "/api-keys", headers=KEY, json=body())
    there = await root.ask("POST", "/auth/organization", json={"organization": "globex"})
    root.http.headers["authorization"] = f"Bearer {there.json()['access_token']}"
    second = await root.ask("POST", "/api-keys", headers=KEY, json=body())
    assert first.json()["id"] != second.json()["id"]


async def test_of_many_at_once_one_makes_it_and_the_others_wait(rt: Runtime, root: Owner) -> None:
    answers = await asyncio.gather(
        *(root.ask("POST", "/api-keys", headers=KEY, json=body()) for _ in range(12))
    )
    made = [one.json() for one in answers if one.status_code == 201]
    assert {one.status_code for one in answers} <= {201, 409}
    assert len({one["id"] for one in made}) == 1
    assert sum(one["secret"] is not None for one in made) == 1
    assert len(await given.events(rt, "api_key.created")) == 1


async def test_while_the_first_is_under_way_the_same_is_told_to_wait(
    rt: Runtime, root: Owner, settings: Settings
) -> None:
    async with organization_held(settings):
        first = asyncio.create_task(root.ask("POST", "/api-keys", headers=KEY, json=body()))
        await asyncio.sleep(0.3)
        again = await root.ask("POST", "/api-keys", headers=KEY, json=body())
        assert not first.done()
    assert (again.status_code, again.headers["retry-after"]) == (409, "1")
    assert (await first).json()["secret"]


async def test_what_was_refused_may_come_again(rt: Runtime, root: Owner) -> None:
    sent = {"slug": "globex", "name": "Globex"}
    globex = await given.an_organization(rt, "globex")
    answer = await root.ask("POST", "/admin/organizations", headers=KEY, json=sent)
    assert answer.status_code == 409
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_organizations SET slug = 'x' WHERE tenant_id = $1", globex)
    answer = await root.ask("POST", "/admin/organizations", headers=KEY, json=sent)
    assert answer.status_code == 201


async def test_what_failed_was_never_there(rt: Runtime, root: Owner) -> None:
    """Rolled back with everything else: the next one makes it, and shows the secret."""
    async with rt.pg.autocommit() as tx:
        await tx.execute("ALTER TABLE auth_idempotency ADD CHECK (made = '')")
    try:
        failed = await root.ask("POST", "/api-keys", headers=KEY, json=body())
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute(
                "ALTER TABLE auth_idempotency DROP CONSTRAINT auth_idempotency_made_check"
            )
    assert failed.status_code == 500
    assert (await root.ask("GET", "/api-keys")).json()["items"] == []
    again = await root.ask("POST", "/api-keys", headers=KEY, json=body())
    assert again.json()["secret"]


async def test_what_is_gone_is_not_found(rt: Runtime, root: Owner) -> None:
    made = (await root.ask("POST", "/api-keys", headers=KEY, json=body())).json()
    await root.delete(made)
    assert (await root.ask("POST", "/api-keys", headers=KEY, json=body())).status_code == 404
    assert (await root.ask("GET", "/api-keys")).json()["items"] == []


async def test_who_lost_the_right_is_told_nothing(rt: Runtime, root: Owner) -> None:
    await root.ask("POST", "/api-keys", headers=KEY, json=body(owner="organization"))
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_users SET platform_admin = FALSE")
        await tx.execute("UPDATE auth_memberships SET role = 'auditor'")
    signed = {"email": root.person.email, "password": root.person.password}
    token = (await root.ask("POST", "/auth/login", json=signed)).json()["access_token"]
    headers = KEY | {"authorization": f"Bearer {token}"}
    answer = await root.ask("POST", "/api-keys", headers=headers, json=body(owner="organization"))
    assert answer.status_code == 403


async def test_after_a_day_the_key_is_free_and_pruned(
    rt: Runtime, root: Owner, call: Callable[..., Call]
) -> None:
    first = (await root.ask("POST", "/api-keys", headers=KEY, json=body())).json()
    rt.clock.advance(timedelta(hours=23, minutes=59))
    assert ("idempotency keys", 0) in [told async for told in prune(rt, call())]
    rt.clock.advance(timedelta(minutes=2))
    signed = {"email": root.person.email, "password": root.person.password}
    token = (await root.ask("POST", "/auth/login", json=signed)).json()["access_token"]
    headers = KEY | {"authorization": f"Bearer {token}"}
    second = (await root.ask("POST", "/api-keys", headers=headers, json=body(name="new"))).json()
    assert second["id"] != first["id"]
    assert second["secret"]
    rt.clock.advance(timedelta(hours=25))
    assert ("idempotency keys", 1) in [told async for told in prune(rt, call())]


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb", "caf\xe9"])
async def test_a_key_that_is_none_is_refused(root: Owner, bad: str) -> None:
    headers = [("idempotency-key", bad.encode("latin-1"))]
    answer = await root.ask("POST", "/api-keys", headers=headers, json=body())
    assert (answer.status_code, answer.json()["fields"]) == (400, ["idempotency-key"])
    assert (await root.ask("GET", "/api-keys")).json()["items"] == []


async def test_two_keys_are_refused_and_a_stranger_is_told_to_sign_in(
    root: Owner, client: httpx2.AsyncClient
) -> None:
    twice = [("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await root.ask("POST", "/api-keys", headers=twice, json=body())).status_code == 400
    assert (await client.post("/api-keys", headers=twice, json=body())).status_code == 401


async def test_without_a_key_each_request_makes_its_own(rt: Runtime, root: Owner) -> None:
    for _ in range(2):
        await root.create()
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT count(*) FROM auth_idempotency") == 0
    assert len((await root.ask("GET", "/api-keys")).json()["items"]) == 2


async def test_a_page_may_send_the_header(client: httpx2.AsyncClient) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answer = await client.options("/api-keys", headers=headers)
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]


@asynccontextmanager
async def organization_held(settings: Settings) -> AsyncIterator[None]:
    """Hold every organization, so that whoever makes something in one waits."""
    connection = await connect_once(settings.database_url, settings.database_schema)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM auth_organizations FOR UPDATE")
            yield
    finally:
        await connection.close()
