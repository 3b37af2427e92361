"""/api-keys: issued, listed, revoked, deleted, rotated - and who may."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from service.domain.apikeys import PATTERN
from service.flows.upkeep.api_keys import settle_keys
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.keys import Owner, an_owner, body, verdict

Browser = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> Owner:
    return await an_owner(rt, browser())


@pytest.fixture
async def here(rt: Runtime, browser: Browser, owner: Owner) -> Machine:
    """A service of the owner's organization, which may check keys and hear why one is not good."""
    assert owner
    return await a_service(rt, browser(), "api-keys:verify", organization="acme")


async def test_the_secret_is_shown_once(owner: Owner, here: Machine) -> None:
    made = await owner.create(expires_at="2099-01-01T00:00:00Z")
    assert re.fullmatch(PATTERN, made["secret"])
    assert made["secret"].startswith(made["prefix"] + "_")
    assert (made["name"], made["scopes"]) == ("nightly import", ["agentes"])
    assert made["expires_at"] == "2099-01-01T00:00:00Z"
    shown = await owner.ask("GET", f"/api-keys/{made['id']}")
    listed = await owner.ask("GET", "/api-keys")
    for text in (shown.text, listed.text):
        assert made["secret"] not in text
        assert made["secret"].split("_")[2][:43] not in text
    assert listed.json() == {"items": [shown.json()], "next_cursor": None}
    told = await verdict(here, made["secret"], scope="agentes")
    assert told == {
        "valid": True,
        "key_id": made["id"],
        "tenant_id": str(owner.person.tenant_id),
        "scopes": ["agentes"],
        "expires_at": "2099-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": ["*"]}, "scopes"),
        ({"scopes": ["agentes", "secrets:sealed"]}, "scopes"),
        ({"scopes": "agentes"}, "scopes"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": 4_000_000_000}, "expires_at"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\x1b[31m"}, "name"),
        ({"name": "\u202eevil"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"addresses": ["300.0.0.1"]}, "addresses"),
        ({"addresses": ["10.0.0.1/8"]}, "addresses"),
        ({"addresses": ["fe80::1%eth0"]}, "addresses"),
        ({"owner": "somebody"}, "owner"),
        ({"tenant_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "tenant_id"),
        ({"prefix": "tsk_AAAAAAAAAAAA"}, "prefix"),
        ({"hash": "00"}, "hash"),
        ({"user_id": "x"}, "user_id"),
        ({"role": "owner"}, "role"),
    ],
)
async def test_a_bad_member_is_named_and_nothing_is_created(
    rt: Runtime, owner: Owner, more: dict[str, Any], field: str
) -> None:
    answer = await owner.ask("POST", "/api-keys", json=body(**more))
    assert answer.status_code == 400, answer.text
    assert answer.json()["fields"][0].startswith(field)
    assert (await owner.ask("GET", "/api-keys")).json()["items"] == []
    assert await given.events(rt, "api_key.created") == []


@pytest.mark.parametrize("left_out", ["scopes", "name"])
async def test_a_key_without_scope_or_name_is_not_created(owner: Owner, left_out: str) -> None:
    sent = {name: value for name, value in body().items() if name != left_out}
    answer = await owner.ask("POST", "/api-keys", json=sent)
    assert (answer.status_code, answer.json()["fields"]) == (400, [left_out])


@pytest.mark.parametrize("scope", ["revocations:read", "api-keys:verify"])
async def test_nobody_grants_what_they_do_not_hold(
    rt: Runtime, browser: Browser, owner: Owner, scope: str
) -> None:
    answer = await owner.ask("POST", "/api-keys", json=body(scopes=[scope]))
    assert (answer.status_code, answer.json()["fields"]) == (403, ["scopes"])
    root = await an_owner(rt, browser(), "root@acme.example", platform_admin=True)
    assert (await root.create(scopes=[scope]))["scopes"] == [scope]


async def test_an_auditor_reads_and_a_member_keeps_to_their_own(
    rt: Runtime, browser: Browser, owner: Owner
) -> None:
    theirs = await owner.create()
    member = await an_owner(rt, browser(), "mem@acme.example", role="member")
    auditor = await an_owner(rt, browser(), "aud@acme.example", role="auditor")
    own = await member.create()
    assert await _ids(member) == [own["id"]]
    assert await _ids(owner) == [own["id"], theirs["id"]]
    assert await _ids(auditor) == [own["id"], theirs["id"]]
    assert (await member.ask("GET", f"/api-keys/{theirs['id']}")).status_code == 404
    assert (await member.ask("POST", f"/api-keys/{theirs['id']}/revoke")).status_code == 404
    shared = await member.ask("POST", "/api-keys", json=body(owner="organization"))
    assert shared.status_code == 403
    assert (await auditor.ask("POST", "/api-keys", json=body())).status_code == 403
    assert (await auditor.ask("POST", f"/api-keys/{own['id']}/revoke")).status_code == 403
    await owner.revoke(own)
    assert (await owner.create(owner="organization"))["owner_id"] is None


async def test_another_organization_s_key_answers_like_none(
    rt: Runtime, browser: Browser, owner: Owner, here: Machine
) -> None:
    made = await owner.create()
    other = await an_owner(rt, browser(), "eve@evil.example", slug="evil")
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api-keys/{}", {}),
        ("POST", "/api-keys/{}/revoke", {}),
        ("POST", "/api-keys/{}/rotate", {"json": {}}),
        ("DELETE", "/api-keys/{}", {}),
    ]
    for method, path, more in ways:
        answers = [
            await other.ask(
                method, path.format(which), headers={"x-request-id": "same-for-both"}, **more
            )
            for which in (made["id"], unknown)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    assert await _ids(other) == []
    assert (await verdict(here, made["secret"]))["valid"]
    assert len(await given.events(rt, "api_key.created")) == 1
    assert await given.events(rt, "api_key.revoked", "api_key.rotated", "api_key.deleted") == []


async def test_a_crossing_platform_administrator_leaves_both_names(
    rt: Runtime, browser: Browser, owner: Owner, here: Machine
) -> None:
    made = await owner.create()
    root = await an_owner(rt, browser(), "root@top.example", slug="top", platform_admin=True)
    assert (await root.ask("GET", f"/api-keys/{made['id']}")).status_code == 200
    await root.revoke(made)
    assert not (await verdict(here, made["secret"]))["valid"]
    for event in await given.events(rt, "organization.crossed", "api_key.revoked"):
        assert event["tenant_id"] == owner.person.tenant_id
        assert event["detail"]["crossing_from"] == str(root.person.tenant_id)


async def test_revoked_the_record_stays_deleted_it_goes_and_events_stay(
    rt: Runtime, owner: Owner, here: Machine
) -> None:
    revoked, deleted = await owner.create(), await owner.create()
    for _ in range(2):  # a second time changes nothing
        await owner.revoke(revoked)
    await owner.delete(deleted)
    shown = (await owner.ask("GET", f"/api-keys/{revoked['id']}")).json()
    assert (shown["state"], shown["revoked_at"] is not None) == ("revoked", True)
    assert (await owner.ask("GET", f"/api-keys/{deleted['id']}")).status_code == 404
    assert (await verdict(here, revoked["secret"]))["reason"] == "revoked"
    assert (await verdict(here, deleted["secret"]))["reason"] == "unknown"
    written = await given.events(rt, "api_key.created", "api_key.revoked", "api_key.deleted")
    assert sorted((e["event_type"], e["detail"]["key_id"]) for e in written) == sorted(
        [
            ("api_key.created", revoked["id"]),
            ("api_key.created", deleted["id"]),
            ("api_key.revoked", revoked["id"]),
            ("api_key.deleted", deleted["id"]),
        ]
    )


async def test_a_rotation_without_overlap_leaves_the_successor_alone(
    owner: Owner, here: Machine
) -> None:
    old = await owner.create(addresses=["10.0.0.0/8"], expires_at="2099-01-01T00:00:00Z")
    answer = await owner.ask("POST", f"/api-keys/{old['id']}/rotate")
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert new["addresses"] == ["10.0.0.0/8"]
    assert new["expires_at"] > "2098"
    assert not {new["secret"], new["prefix"], new["id"]} & {
        old["secret"],
        old["prefix"],
        old["id"],
    }
    assert (await verdict(here, new["secret"], address="10.1.2.3"))["valid"]
    assert (await verdict(here, old["secret"], address="10.1.2.3"))["reason"] == "revoked"
    again = await owner.ask("POST", f"/api-keys/{old['id']}/rotate", json={})
    assert again.status_code == 409
    shown = (await owner.ask("GET", f"/api-keys/{old['id']}")).json()
    assert shown["successor_id"] == new["id"]


@pytest.mark.parametrize("overlap", [-1, 7 * 86_400 + 1, "1", 1.5])
async def test_an_overlap_is_0_to_7_days(owner: Owner, overlap: object) -> None:
    made = await owner.create()
    sent = {"overlap_seconds": overlap}
    answer = await owner.ask("POST", f"/api-keys/{made['id']}/rotate", json=sent)
    assert (answer.status_code, answer.json()["fields"]) == (400, ["overlap_seconds"])


async def test_pages_join_without_a_gap(owner: Owner) -> None:
    made = [(await owner.create())["id"] for _ in range(7)]
    seen: list[str] = []
    query = "?limit=3"
    for _ in range(4):
        page = (await owner.ask("GET", f"/api-keys{query}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=3&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == len(made)
    bent = await owner.ask("GET", "/api-keys?cursor=AAAA")
    assert (bent.status_code, bent.json()["fields"]) == (400, ["cursor"])


async def test_uses_are_counted_in_the_background(rt: Runtime, owner: Owner, here: Machine) -> None:
    made = await owner.create()
    for _ in range(3):
        await verdict(here, made["secret"])
    before = (await owner.ask("GET", f"/api-keys/{made['id']}")).json()
    assert (before["use_count"], before["last_used_at"]) == (0, None)
    await settle_keys(rt)
    after = (await owner.ask("GET", f"/api-keys/{made['id']}")).json()
    assert after["use_count"] == 3
    assert after["last_used_at"] is not None


async def test_a_key_stops_at_its_expiry(rt: Runtime, owner: Owner, here: Machine) -> None:
    soon = (rt.clock.now() + timedelta(seconds=100)).isoformat()
    made = await owner.create(expires_at=soon)
    assert (await verdict(here, made["secret"]))["valid"]
    rt.clock.advance(timedelta(seconds=101))
    assert (await verdict(here, made["secret"]))["reason"] == "expired"
    shown = (await owner.ask("GET", f"/api-keys/{made['id']}")).json()
    assert shown["state"] == "expired"


async def _ids(owner: Owner) -> list[str]:
    return [item["id"] for item in (await owner.ask("GET", "/api-keys")).json()["items"]]


async def test_nobody_rotates_another_person_s_key_into_their_own_hands(
    rt: Runtime, owner: Owner, here: Machine, browser: Browser
) -> None:
    admin = await an_owner(rt, browser(), "admin@acme.example", role="admin")
    theirs = await owner.create()
    refused = await admin.ask("POST", f"/api-keys/{theirs['id']}/rotate")
    assert refused.status_code == 403
    assert (await verdict(here, theirs["secret"]))["valid"]
    shared = await owner.create(owner="organization")
    assert (await admin.ask("POST", f"/api-keys/{shared['id']}/rotate")).status_code == 201
