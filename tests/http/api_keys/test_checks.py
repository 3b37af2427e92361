"""The four doors a key is shown at: verify, introspect, a bearer's, and the exchange."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import httpx2
import pytest

from service.domain.apikeys import KeyText, read
from service.flows.upkeep.api_keys import end_expired_keys, settle_keys
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.keys import EXCHANGE, KEY_TYPE, Owner, an_owner, exchange, use, verdict

Browser = Callable[..., httpx2.AsyncClient]
FEED = "revocations:read"


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> Owner:
    """An owner who is a platform administrator as well: may grant every scope."""
    return await an_owner(rt, browser(), "root@acme.example", platform_admin=True)


@pytest.fixture
async def platform(rt: Runtime, browser: Browser) -> Machine:
    """A service of the platform that may check keys."""
    return await a_service(rt, browser(), "api-keys:verify")


async def test_a_key_is_exchanged_for_a_short_token_that_names_it(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient
) -> None:
    made = await root.create(scopes=["agentes", FEED])
    answer = await exchange(client, made["secret"], scope=FEED)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    claims = given.claims(told["access_token"])
    assert told["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (told["token_type"], told["scope"]) == ("Bearer", FEED)
    assert 300 <= told["expires_in"] <= 900
    assert claims["exp"] - claims["iat"] == told["expires_in"]
    assert (claims["akid"], claims["scope"]) == (made["id"], FEED)
    assert claims["tenant_id"] == str(root.person.tenant_id)
    assert claims["sub"] == str(root.person.user_id)
    assert "sid" not in claims
    assert await use(client, told["access_token"]) == 200
    all_of_it = (await exchange(client, made["secret"])).json()
    assert all_of_it["scope"] == f"agentes {FEED}"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"scope": "agentes proxy-ollama"}, "invalid_scope"),
        ({"scope": "*"}, "invalid_scope"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token_type": ""}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        (
            {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
        ),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"scope": " "}, "invalid_scope"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchang"},
            "unsupported_grant_type",
        ),
        ({"audience": "https://elsewhere.test"}, "invalid_target"),
        ({"resource": "https://elsewhere.test"}, "invalid_target"),
        ({"client_id": "svc_x", "client_secret": "wrong"}, "invalid_client"),
    ],
)
async def test_an_exchange_gives_no_more_than_the_key(
    root: Owner, client: httpx2.AsyncClient, more: dict[str, str], error: str
) -> None:
    made = await root.create()
    answer = await exchange(client, made["secret"], **more)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error


@pytest.mark.parametrize("twice", ["subject_token", "subject_token_type", "grant_type", "audience"])
async def test_no_parameter_of_an_exchange_comes_twice(
    root: Owner, client: httpx2.AsyncClient, twice: str
) -> None:
    made = await root.create()
    form = {"grant_type": EXCHANGE, "subject_token": made["secret"], "subject_token_type": KEY_TYPE}
    pairs = [*form.items(), (twice, form.get(twice, "https://auth.test"))]
    pairs += [] if twice in form else [(twice, "https://auth.test")]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post("/oauth/token", content=urlencode(pairs), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert made["secret"] not in answer.text


@pytest.mark.parametrize("kind", ["access_token", "jwt"])
async def test_an_exchange_names_the_type_it_was_asked_for(
    root: Owner, client: httpx2.AsyncClient, kind: str
) -> None:
    made = await root.create()
    kind = f"urn:ietf:params:oauth:token-type:{kind}"
    more = {"requested_token_type": kind, "audience": "https://auth.test"}
    answer = await exchange(client, made["secret"], **more)
    assert (answer.status_code, answer.json()["issued_token_type"]) == (200, kind)


async def test_no_token_outlives_its_key(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient
) -> None:
    ends = rt.clock.now() + timedelta(seconds=200)
    made = await root.create(expires_at=ends.isoformat())
    told = (await exchange(client, made["secret"])).json()
    assert given.claims(told["access_token"])["exp"] <= ends.timestamp()
    assert told["expires_in"] <= 200


async def test_a_token_cannot_be_exchanged(root: Owner, client: httpx2.AsyncClient) -> None:
    made = await root.create()
    token = (await exchange(client, made["secret"])).json()["access_token"]
    kind = "urn:ietf:params:oauth:token-type:access_token"
    answer = await exchange(client, token, subject_token_type=kind)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await exchange(client, made["secret"], subject_token_type=kind)).status_code == 200


@pytest.mark.parametrize("way", ["revoke", "delete", "rotate", "by hand"])
async def test_every_end_of_a_key_kills_it_and_its_tokens_at_every_door(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, platform: Machine, way: str
) -> None:
    made = await root.create(scopes=[FEED])
    key = made["secret"]
    token = (await exchange(client, key)).json()["access_token"]
    for _ in range(2):
        assert (await use(client, key), await use(client, token)) == (200, 200)
        assert (await verdict(platform, key))["valid"]
        assert await _active(platform, key, token) == [True, True]
    match way:
        case "revoke":
            await root.revoke(made)
        case "delete":
            await root.delete(made)
        case "rotate":
            answer = await root.ask("POST", f"/api-keys/{made['id']}/rotate", json={})
            assert answer.status_code == 201
        case "by hand":
            sent = {"kind": "akid", "value": made["id"]}
            assert (await root.ask("POST", "/revocations", json=sent)).status_code == 201
            shown = (await root.ask("GET", f"/api-keys/{made['id']}")).json()
            assert shown["state"] == "revoked"
    assert (await use(client, key), await use(client, token)) == (401, 401)
    assert not (await verdict(platform, key))["valid"]
    assert await _active(platform, key, token) == [False, False]
    assert (await exchange(client, key)).status_code == 400
    assert await _akids(rt) == [made["id"]]


async def test_during_the_overlap_both_work_and_afterwards_one(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, browser: Browser, platform: Machine
) -> None:
    old = await root.create(scopes=[FEED])
    assert (await verdict(platform, old["secret"]))["valid"]  # remembered without an expiry
    answer = await root.ask("POST", f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60})
    new = answer.json()
    token = (await exchange(client, old["secret"])).json()["access_token"]
    for key in (old["secret"], new["secret"], token):
        assert await use(client, key) == 200
    await end_expired_keys(rt)
    assert await use(client, old["secret"]) == 200
    rt.clock.advance(timedelta(seconds=61))
    await end_expired_keys(rt)
    assert await use(client, old["secret"]) == 401
    assert await use(client, token) == 401
    assert await use(client, new["secret"]) == 200
    here = await a_service(rt, browser(), "api-keys:verify", organization="acme")
    assert (await verdict(here, old["secret"]))["reason"] == "expired"
    assert (await verdict(platform, old["secret"]))["reason"] == "unknown"
    assert await _akids(rt) == [old["id"]]
    await end_expired_keys(rt)
    assert await _akids(rt) == [old["id"]]  # told once


@pytest.mark.parametrize("path", ["/revocations?wait=20&after={}", "/revocations/stream?after={}"])
@pytest.mark.parametrize("token", [False, True])
async def test_who_waits_for_news_with_a_key_is_sent_away_with_it(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, path: str, *, token: bool
) -> None:
    """Nothing is told to a dead key, not even on a connection it opened while it lived."""
    made = await root.create(scopes=[FEED])
    bearer = made["secret"]
    if token:
        bearer = (await exchange(client, bearer)).json()["access_token"]
    headers = {"authorization": f"Bearer {bearer}"}
    where = path.format(rt.revocations.memory.seq)
    waiting = asyncio.create_task(client.get(where, headers=headers))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    began = rt.clock.monotonic()
    await root.revoke(made)
    answer = await waiting
    assert rt.clock.monotonic() - began < 1.0
    assert made["id"] not in answer.text
    assert answer.status_code == (401 if "wait" in path else 200)


async def test_an_overlap_never_lengthens_a_life(rt: Runtime, root: Owner) -> None:
    ends = (rt.clock.now() + timedelta(seconds=100)).isoformat()
    old = await root.create(expires_at=ends)
    sent = {"overlap_seconds": 7 * 86_400}
    assert (await root.ask("POST", f"/api-keys/{old['id']}/rotate", json=sent)).status_code == 201
    shown = (await root.ask("GET", f"/api-keys/{old['id']}")).json()
    assert shown["expires_at"] == old["expires_at"]


async def test_an_expired_key_s_tokens_are_killed_by_the_feed(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient
) -> None:
    ends = rt.clock.now() + timedelta(seconds=100)
    made = await root.create(scopes=[FEED], expires_at=ends.isoformat())
    token = (await exchange(client, made["secret"])).json()["access_token"]
    rt.clock.advance(timedelta(seconds=101))
    await end_expired_keys(rt)
    assert await use(client, token) == 401
    assert await _akids(rt) == [made["id"]]


async def test_a_service_of_an_organization_knows_no_other_s_keys(
    rt: Runtime, root: Owner, browser: Browser, platform: Machine
) -> None:
    other = await an_owner(rt, browser(), "eve@evil.example", slug="evil")
    here = await a_service(rt, browser(), "api-keys:verify", organization="acme")
    there = await a_service(rt, browser(), "api-keys:verify", organization="evil")
    made, gone = await root.create(), await root.create()
    await root.revoke(gone)
    nobody_s = (await root.create())["secret"]
    await root.delete((await root.ask("GET", "/api-keys")).json()["items"][0])
    told = [await verdict(there, key) for key in (made["secret"], gone["secret"], nobody_s, "x")]
    unknown = {
        "valid": False,
        "key_id": None,
        "tenant_id": None,
        "scopes": None,
        "expires_at": None,
        "reason": "unknown",
    }
    assert told == [unknown] * 4
    assert (await verdict(here, made["secret"]))["valid"]
    assert (await verdict(here, gone["secret"]))["reason"] == "revoked"
    assert await verdict(platform, gone["secret"]) == unknown
    assert await verdict(platform, nobody_s) == unknown
    foreign = await there.ask("/oauth/introspect", token=made["secret"])
    assert foreign.content == (await there.ask("/oauth/introspect", token="x")).content
    assert (await other.ask("GET", "/api-keys")).json()["items"] == []


async def test_introspection_tells_of_a_key(root: Owner, platform: Machine) -> None:
    made = await root.create(scopes=["agentes", "proxy-ollama"], expires_at="2099-01-01T00:00:00Z")
    told = (await platform.ask("/oauth/introspect", token=made["secret"])).json()
    assert told["active"] is True
    assert (told["akid"], told["scope"]) == (made["id"], "agentes proxy-ollama")
    assert told["tenant_id"] == str(root.person.tenant_id)
    assert told["exp"] == 4_070_908_800
    assert made["secret"] not in str(told)


async def test_a_scope_and_an_address_are_part_of_the_question(
    root: Owner, client: httpx2.AsyncClient, browser: Browser, platform: Machine
) -> None:
    made = await root.create(scopes=["agentes", FEED], addresses=["203.0.113.0/24", "2001:db8::1"])
    key = made["secret"]
    assert made["addresses"] == ["2001:db8::1/128", "203.0.113.0/24"]
    told = await verdict(platform, key, address="203.0.113.9", scope="agentes")
    assert told["valid"]
    for wrong, reason in [
        ({}, "address"),
        ({"address": "203.0.114.1"}, "address"),
        ({"address": "203.0.113.9", "scope": "proxy-ollama"}, "scope"),
    ]:
        assert (await verdict(platform, key, **wrong))["reason"] == reason
    for spelling in (
        "::ffff:203.0.113.9",
        "::ffff:cb00:7109",
        "2001:0DB8:0::0001",
        "[2001:db8::1]",
    ):
        assert (await verdict(platform, key, address=spelling))["valid"], spelling
        answer = await platform.ask("/oauth/introspect", token=key, address=spelling)
        assert answer.json()["active"], spelling
    assert (await verdict(platform, key, address="[2001:db8::2]"))["reason"] == "address"
    bad = await platform.post("/api-keys/verify", json={"key": key, "address": "here"})
    assert (bad.status_code, bad.json()["fields"]) == (400, ["address"])
    assert [await use(browser(ip=ip), key) for ip in ("203.0.113.5", "192.0.2.1")] == [200, 401]
    # Behind the trusted proxy, read from right to left: what callers say of themselves is nothing.
    for forwarded, status in (
        ("192.0.2.1, 203.0.113.5", 200),
        ("203.0.113.5, 192.0.2.1", 401),
        ("::ffff:203.0.113.5", 200),
    ):
        assert await use(browser(ip=forwarded), key) == status, forwarded
    assert (await exchange(browser(ip="2001:db8::1"), key)).status_code == 200
    assert (await exchange(browser(ip="2001:db8::2"), key)).status_code == 400
    assert not (await platform.ask("/oauth/introspect", token=key)).json()["active"]
    here = await platform.ask("/oauth/introspect", token=key, address="203.0.113.7")
    assert here.json()["active"]


async def test_a_key_checks_keys_of_its_organization_when_it_may(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, browser: Browser
) -> None:
    checker = await root.create(scopes=["api-keys:verify"])
    plain = await root.create()
    other = await an_owner(rt, browser(), "eve@evil.example", slug="evil")
    foreign = await other.create()
    token = (await exchange(client, checker["secret"])).json()["access_token"]
    for bearer in (checker["secret"], token):
        headers = {"authorization": f"Bearer {bearer}"}
        told = []
        for key in (plain["secret"], foreign["secret"]):
            answer = await client.post("/api-keys/verify", json={"key": key}, headers=headers)
            told.append(answer.json()["valid"])
        assert told == [True, False]


async def test_what_may_not_check_keys(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, browser: Browser
) -> None:
    plain = await root.create()
    unscoped = await a_service(rt, browser(), "agentes")
    sent = {"key": plain["secret"]}
    assert (await client.post("/api-keys/verify", json=sent)).status_code == 401
    assert (await root.ask("POST", "/api-keys/verify", json=sent)).status_code == 403
    assert (await unscoped.post("/api-keys/verify", json=sent)).status_code == 403
    assert await use(client, plain["secret"]) == 403


async def test_a_key_is_no_person_and_makes_no_keys(
    root: Owner, client: httpx2.AsyncClient
) -> None:
    made = await root.create()
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert (await client.get("/auth/me", headers=headers)).status_code == 403
    for method, path in (("GET", "/api-keys"), ("DELETE", f"/api-keys/{made['id']}")):
        assert (await client.request(method, path, headers=headers)).status_code == 403
    sent = {"name": "x", "scopes": ["agentes"]}
    assert (await client.post("/api-keys", json=sent, headers=headers)).status_code == 403


@pytest.mark.parametrize("who", ["owner", "organization", "membership"])
async def test_a_key_stops_with_its_owner_and_its_organization(
    rt: Runtime, root: Owner, browser: Browser, platform: Machine, who: str
) -> None:
    member = await an_owner(rt, browser(), "mem@acme.example", role="member")
    made = await member.create()
    assert (await verdict(platform, made["secret"]))["valid"]
    user_id, tenant_id = member.person.user_id, member.person.tenant_id
    async with rt.pg.autocommit() as tx:
        if who == "owner":
            await tx.execute(
                "UPDATE auth_users SET disabled_at = now() WHERE user_id = $1", user_id
            )
        elif who == "membership":
            await tx.execute("DELETE FROM auth_memberships WHERE user_id = $1", user_id)
        else:
            await tx.execute("UPDATE auth_organizations SET disabled_at = now()")
    cut = ("tenant_id", tenant_id) if who == "organization" else ("sub", user_id)
    root.http.headers["authorization"] = await _elsewhere(rt, browser)
    answer = await root.ask("POST", "/revocations", json={"kind": cut[0], "value": str(cut[1])})
    assert answer.status_code == 201, answer.text
    assert not (await verdict(platform, made["secret"]))["valid"]


async def test_a_key_loses_the_scopes_that_its_owner_s_role_loses(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, browser: Browser, platform: Machine
) -> None:
    """At once and at every door, also where it was remembered; and gets them back with the role."""
    member = await an_owner(rt, browser(), "mem@acme.example", role="member")
    own, shared = await member.create(), await root.create(owner="organization")
    here = await a_service(rt, browser(), "api-keys:verify", organization="acme")
    token = (await exchange(client, own["secret"])).json()["access_token"]
    assert (await verdict(platform, own["secret"]))["valid"]
    assert await _active(platform, own["secret"], token) == [True, True]
    path = f"/admin/users/{member.person.user_id}/role"
    assert (await root.ask("PUT", path, json={"role": "auditor"})).status_code == 200
    assert (await verdict(here, own["secret"]))["reason"] == "disabled"
    assert (await verdict(platform, own["secret"]))["reason"] == "unknown"
    assert (await verdict(platform, shared["secret"]))["valid"]
    assert (await exchange(client, own["secret"])).status_code == 400
    assert await _active(platform, own["secret"], token) == [False, False]
    assert (await root.ask("PUT", path, json={"role": "member"})).status_code == 200
    assert (await verdict(platform, own["secret"]))["scopes"] == ["agentes"]


async def test_a_checked_key_costs_no_query_at_any_door(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, platform: Machine
) -> None:
    key = (await root.create(scopes=[FEED]))["secret"]
    await verdict(platform, key)
    async with given.statements(rt) as asked:
        for _ in range(5):
            assert (await verdict(platform, key))["valid"]
            assert (await platform.ask("/oauth/introspect", token=key)).json()["active"]
            assert (await exchange(client, key)).status_code == 200
            bad = f"{key[:-1]}{'0' if key[-1] != '0' else '1'}"
            assert not (await verdict(platform, bad))["valid"]
    assert asked == []
    async with given.statements(rt) as asked:
        assert await use(client, key) == 200
    assert asked == []


async def test_garbage_costs_no_query_at_any_door(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, platform: Machine
) -> None:
    key = (await root.create(scopes=[FEED]))["secret"]
    await verdict(platform, "tsk_")  # the service's own token is known from here on
    bad = [key[:-1], key + "0", key.swapcase(), key[:20] + key[21:] + "0", "tsk_", f"{key} {key}"]
    bad += [key[:n] + ("A" if key[n] != "A" else "B") + key[n + 1 :] for n in range(5, len(key), 9)]
    async with given.statements(rt) as asked:
        for text in bad:
            assert not (await verdict(platform, text))["valid"]
            assert not (await platform.ask("/oauth/introspect", token=text)).json()["active"]
            assert (await exchange(client, text)).status_code == 400
            assert await use(client, text) == 401
    assert asked == []


async def test_checks_write_nothing_and_the_background_does(
    rt: Runtime, root: Owner, client: httpx2.AsyncClient, platform: Machine
) -> None:
    made = await root.create()
    gone = await root.create()
    await root.revoke(gone)
    before = await given.kinds(rt)
    for _ in range(30):
        await verdict(platform, made["secret"])
        await verdict(platform, gone["secret"])
        await exchange(client, "tsk_garbage")
    assert await given.kinds(rt) == before
    await settle_keys(rt)
    told = await given.events(rt, "api_key.refused")
    assert sorted((e["detail"]["why"], e["detail"]["count"]) for e in told) == [
        ("revoked", 30),
        ("unknown", 30),
    ]
    assert {e["tenant_id"] for e in told} == {None, root.person.tenant_id}


async def test_a_key_with_another_s_public_id_is_refused(
    root: Owner, client: httpx2.AsyncClient, platform: Machine
) -> None:
    """Well written, with a secret that exists: only not this key's."""
    one, two = read((await root.create())["secret"]), read((await root.create())["secret"])
    assert one is not None
    assert two is not None
    for key in (one, two):
        assert (await verdict(platform, key.written()))["valid"]
    for forged in (KeyText(one.public_id, two.secret), KeyText(two.public_id, one.secret)):
        assert not (await verdict(platform, forged.written()))["valid"]
        assert (await exchange(client, forged.written())).status_code == 400


async def _active(service: Machine, *tokens: str) -> list[bool]:
    answers = [await service.ask("/oauth/introspect", token=token) for token in tokens]
    return [answer.json()["active"] for answer in answers]


async def _akids(rt: Runtime) -> list[str]:
    async with rt.pg.reading() as tx:
        rows = await tx.fetch("SELECT value FROM auth_revocations WHERE kind = 'akid'")
    return [row["value"] for row in rows]


async def _elsewhere(rt: Runtime, browser: Browser) -> str:
    """Return the header of a platform administrator of an organization that is not concerned."""
    other = await an_owner(rt, browser(), "far@top.example", slug="top", platform_admin=True)
    return str(other.http.headers["authorization"])
