"""/admin/signing-keys: for platform administrators alone."""

from collections import Counter

import httpx2
import pytest

from service.policy import Policy, Tokens
from service.runtime import Runtime
from tests import given
from tests.http.admin.test_sessions import signed_in
from tests.world import UNLIMITED


@pytest.fixture
async def platform(rt: Runtime, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    await signed_in(rt, client, email="root@acme.example", platform_admin=True)
    return client


@pytest.fixture(autouse=True)
async def one_key(rt: Runtime) -> None:
    await given.no_pending_key(rt)


async def test_keys_are_listed_with_their_times_and_without_key_material(
    platform: httpx2.AsyncClient, rt: Runtime
) -> None:
    answer = await platform.get("/admin/signing-keys")
    assert answer.status_code == 200
    told = answer.json()
    assert told["next_cursor"] is None
    (active,) = [key for key in told["items"] if key["state"] == "active"]
    assert active["kid"] == rt.keyring.signing(rt.clock.now()).kid
    assert active.keys() == {
        "kid",
        "algorithm",
        "state",
        "created_at",
        "activates_at",
        "retires_at",
        "removes_at",
        "killed_at",
    }


async def test_rotation_publishes_a_key_and_a_kill_replaces_one_while_sessions_go_on(
    platform: httpx2.AsyncClient, rt: Runtime
) -> None:
    made = await platform.post("/admin/signing-keys")
    assert (made.status_code, made.json()["state"]) == (201, "pending")
    assert (await platform.post("/admin/signing-keys")).status_code == 409
    old = rt.keyring.signing(rt.clock.now()).kid
    assert (await platform.delete(f"/admin/signing-keys/{old}")).status_code == 204
    refused = await platform.get("/auth/me")
    assert refused.status_code == 401
    renewed = await platform.post("/auth/refresh", json={})
    assert renewed.status_code == 200
    platform.headers["authorization"] = f"Bearer {renewed.json()['access_token']}"
    assert (await platform.get("/auth/me")).status_code == 200
    keys = (await platform.get("/.well-known/jwks.json")).json()["keys"]
    assert old not in {key["kid"] for key in keys}
    assert (await platform.delete(f"/admin/signing-keys/{old}")).status_code == 404
    assert (await platform.delete("/admin/signing-keys/none")).status_code == 404
    (event,) = await given.events(rt, "signing_key.killed")
    assert (event["actor_kind"], event["detail"]["kid"]) == ("user", old)
    (again,) = [
        e for e in (await platform.get("/admin/signing-keys")).json()["items"] if e["kid"] == old
    ]
    assert (again["state"], again["killed_at"] is not None) == ("removed", True)


@pytest.mark.parametrize("role", ["owner", "admin", "member", "auditor"])
async def test_nobody_else_lists_rotates_or_kills(
    rt: Runtime, client: httpx2.AsyncClient, role: str
) -> None:
    await signed_in(rt, client, email=f"{role}@acme.example", role=role)
    kid = rt.keyring.signing(rt.clock.now()).kid
    for answer in (
        await client.get("/admin/signing-keys"),
        await client.post("/admin/signing-keys"),
        await client.delete(f"/admin/signing-keys/{kid}"),
    ):
        assert answer.status_code == 403
    assert rt.keyring.signing(rt.clock.now()).kid == kid


async def test_the_jwks_keeps_its_etag_while_nothing_changes_and_gets_another_with_a_new_key(
    platform: httpx2.AsyncClient,
) -> None:
    first = await platform.get("/.well-known/jwks.json")
    etag = first.headers["etag"]
    again = await platform.get("/.well-known/jwks.json", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert (await platform.post("/admin/signing-keys")).status_code == 201
    changed = await platform.get("/.well-known/jwks.json", headers={"if-none-match": etag})
    assert (changed.status_code, changed.headers["etag"] != etag) == (200, True)
    assert changed.headers["cache-control"] == "public, max-age=300"
    assert changed.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "policy",
    [Policy(limits=UNLIMITED, tokens=Tokens(id_token_algorithms=("RS256",)))],
    ids=["RS256 too"],
)
async def test_an_algorithm_in_use_is_rotated_and_killed_beside_that_of_access_tokens(
    platform: httpx2.AsyncClient, rt: Runtime
) -> None:
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_signing_keys WHERE algorithm <> 'ES256'")
    of_access_tokens = rt.keyring.signing(rt.clock.now()).kid
    made = await platform.post("/admin/signing-keys", json={"algorithm": "RS256"})
    assert made.status_code == 201, made.text
    assert (made.json()["algorithm"], made.json()["state"]) == ("RS256", "active")
    coming = await platform.post("/admin/signing-keys", json={"algorithm": "RS256"})
    assert (coming.status_code, coming.json()["state"]) == (201, "pending")
    again = await platform.post("/admin/signing-keys", json={"algorithm": "RS256"})
    assert (again.status_code, coming.json()["kid"] in again.json()["detail"]) == (409, True)
    plain = await platform.post("/admin/signing-keys", json={})
    assert (plain.status_code, plain.json()["algorithm"]) == (201, "ES256")
    keys = (await platform.get("/.well-known/jwks.json")).json()["keys"]
    assert [key["alg"] for key in keys] == ["ES256"] * 2 + ["RS256"] * 2
    assert (await platform.delete(f"/admin/signing-keys/{made.json()['kid']}")).status_code == 204
    assert rt.keyring.signing(rt.clock.now()).kid == of_access_tokens
    assert (await platform.get("/auth/me")).status_code == 200
    told = (await platform.get("/admin/signing-keys")).json()["items"]
    assert Counter((key["algorithm"], key["state"]) for key in told if not key["killed_at"]) == {
        ("ES256", "active"): 1,
        ("ES256", "pending"): 1,
        ("RS256", "active"): 1,
        ("RS256", "pending"): 1,
    }
    assert (await platform.get("/readyz")).status_code == 200
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_signing_keys WHERE algorithm <> 'ES256'")


@pytest.mark.parametrize("algorithm", ["EdDSA", "HS256", "none", "es256", 7, ["RS256"]])
async def test_an_algorithm_that_is_not_in_use_is_refused_and_it_is_said_which_are(
    platform: httpx2.AsyncClient, algorithm: object
) -> None:
    refused = await platform.post("/admin/signing-keys", json={"algorithm": algorithm})
    assert (refused.status_code, refused.json()["fields"]) == (400, ["algorithm"])
    assert "ES256" in refused.json()["detail"]
