"""Guessing at API keys: one answer for every key that is not good, in one time."""

import statistics
from collections.abc import Awaitable, Callable

import httpx2
import msgspec
import pytest
from msgspec.structs import replace

from service.domain import apikeys
from service.domain.apikeys import KeyText
from service.policy import Policy
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.keys import Owner, an_owner, exchange, use
from tests.world import GENEROUS, UNLIMITED

Browser = Callable[..., httpx2.AsyncClient]
HERE = "192.0.2.1"
ROUNDS = 120
ATTEMPTS = 4


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> Owner:
    return await an_owner(rt, browser(), platform_admin=True)


@pytest.fixture
async def platform(rt: Runtime, browser: Browser) -> Machine:
    return await a_service(rt, browser(), "api-keys:verify")


@pytest.fixture
def policy() -> Policy:
    return Policy(limits=replace(UNLIMITED, key_failures=GENEROUS))


async def bent(owner: Owner, _: Runtime) -> dict[str, str]:
    """Return texts that look like a key that works, and are none."""
    key = (await owner.create(scopes=["revocations:read"]))["secret"]
    other = "A" if key[30] != "A" else "B"
    return {
        "one character off": key[:30] + other + key[31:],
        "public id off": key[:5] + ("A" if key[5] != "A" else "B") + key[6:],
        "wrong case": key[:4] + key[4:].swapcase(),
        "extended": key + "0",
        "truncated": key[:-1],
        "half": key[: len(key) // 2],
    }


async def written(owner: Owner, rt: Runtime) -> dict[str, str]:
    """Return texts with a right checksum that are not good."""
    made = [await owner.create(scopes=["revocations:read"]) for _ in range(6)]
    revoked, deleted, expired, orphan, elsewhere, live = made
    await owner.revoke(revoked)
    await owner.delete(deleted)
    nobody = await given.a_person(rt, "gone@acme.example")
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_memberships WHERE user_id = $1", nobody.user_id)
        for key, change in (
            (expired, "expires_at = created_at"),
            (orphan, f"owner_id = '{nobody.user_id}'"),
            (elsewhere, "networks = '{198.51.100.0/24}'"),
        ):
            await tx.execute(f"UPDATE auth_api_keys SET {change} WHERE key_id = $1", key["id"])
    real = apikeys.read(live["secret"])
    assert real is not None
    return {
        "revoked": revoked["secret"],
        "deleted": deleted["secret"],
        "expired": expired["secret"],
        "disabled": orphan["secret"],
        "not from here": elsewhere["secret"],
        "wrong secret": KeyText(real.public_id, apikeys.new_text().secret).written(),
        "unknown": apikeys.new_text().written(),
    }


async def test_every_key_that_is_not_good_gets_one_answer(
    owner: Owner, client: httpx2.AsyncClient, platform: Machine, rt: Runtime, browser: Browser
) -> None:
    """At every door, byte for byte: also what is revoked, has expired or never was."""
    await given.an_organization(rt, "elsewhere")
    there = await a_service(rt, browser(), "api-keys:verify", organization="elsewhere")
    texts = {**await written(owner, rt), **await bent(owner, rt)}
    live = (await owner.create(scopes=["revocations:read"]))["secret"]
    same = {"x-request-id": "same-for-all"}
    bearers, exchanges, verdicts, introspections = set(), set(), set(), set()
    for text in texts.values():
        headers = {"authorization": f"Bearer {text}", **same}
        answer = await client.get("/revocations", headers=headers)
        bearers.add((answer.status_code, answer.content, answer.headers["www-authenticate"]))
        answer = await exchange(client, text)
        exchanges.add((answer.status_code, answer.content))
        for service in (platform, there):
            answer = await service.ask("/oauth/introspect", token=text)
            introspections.add((answer.status_code, answer.content))
            answer = await service.post("/api-keys/verify", json={"key": text, "address": HERE})
            verdicts.add((answer.status_code, answer.content))
    answer = await there.post("/api-keys/verify", json={"key": live})
    verdicts.add((answer.status_code, answer.content))
    # To the platform's services alone it is told that a key is good, but not from there.
    told = {msgspec.json.decode(content)["reason"] for _, content in verdicts}
    assert told == {"unknown", "address"}
    assert len(verdicts) == 2
    assert len(bearers) == len(exchanges) == len(introspections) == 1
    assert bearers.pop()[0] == 401
    assert exchanges.pop()[0] == 400


async def test_a_key_in_a_query_string_is_no_credential(
    owner: Owner, client: httpx2.AsyncClient
) -> None:
    key = (await owner.create(scopes=["revocations:read"]))["secret"]
    assert await use(client, key) == 200
    for name in ("access_token", "key", "token", "authorization", "api_key"):
        assert (await client.get(f"/revocations?{name}={key}")).status_code == 401
        answer = await client.post(f"/oauth/token?subject_token={key}", data={"grant_type": "x"})
        assert answer.status_code == 400
    for headers in (
        {"x-api-key": key},
        {"authorization": key},
        {"authorization": f"Basic {key}"},
        {"authorization": f"Bearer {key} {key}"},
        {"cookie": f"__Host-refresh={key}"},
    ):
        assert (await client.get("/revocations", headers=headers)).status_code == 401


@pytest.mark.parametrize("texts", [bent, written])
@pytest.mark.parametrize("door", ["verify", "bearer"])
async def test_the_time_does_not_tell_them_apart(
    owner: Owner,
    platform: Machine,
    rt: Runtime,
    texts: Callable[[Owner, Runtime], Awaitable[dict[str, str]]],
    door: str,
) -> None:
    """Medians over interleaved rounds; a busy machine gets more than one attempt."""
    kinds = await texts(owner, rt)
    for _ in range(ATTEMPTS):
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, key in kinds.items():
                began = rt.clock.monotonic()
                if door == "verify":
                    sent = {"key": key, "address": HERE}
                    await platform.post("/api-keys/verify", json=sent)
                else:
                    assert await use(platform.http, key) == 401
                took[kind].append(rt.clock.monotonic() - began)
        medians = {kind: statistics.median(times) for kind, times in took.items()}
        if max(medians.values()) < 1.25 * min(medians.values()):
            return
    pytest.fail(f"medians differ: {medians}")


async def test_a_wrong_public_id_is_not_believed_for_a_secret_in_memory(
    owner: Owner, client: httpx2.AsyncClient
) -> None:
    """A checksum is no signature: whoever has one key can write others with its secret."""
    key = (await owner.create(scopes=["revocations:read"]))["secret"]
    assert await use(client, key) == 200
    real = apikeys.read(key)
    assert real is not None
    forged = KeyText(apikeys.new_text().public_id, real.secret).written()
    assert await use(client, forged) == 401
    assert (await exchange(client, forged)).status_code == 400


async def test_huge_and_hostile_texts_are_refused_without_a_fault(
    owner: Owner, client: httpx2.AsyncClient, platform: Machine
) -> None:
    key = (await owner.create())["secret"]
    for text in ("tsk_" + "A" * 4000, f"{key}\x00", "tsk_\u202e", "tsk_" * 900, "", "tsk_'; --"):
        answer = await platform.post("/api-keys/verify", json={"key": text})
        assert (answer.status_code, answer.json()["valid"]) == (200, False)
    too_long = await platform.post("/api-keys/verify", json={"key": "A" * 5000})
    assert (too_long.status_code, too_long.json()["fields"]) == (400, ["key"])
    for body in ({"key": None}, {"key": [key]}, {"key": key, "tenant_id": "x"}, {}, {"key": 1}):
        answer = await platform.post("/api-keys/verify", json=body)
        assert answer.status_code == 400
        assert key not in answer.text
