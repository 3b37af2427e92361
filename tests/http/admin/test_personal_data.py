"""What an organization keeps of a person, as a file: theirs whole, and nobody else's."""

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest

from service.flows.people.erase_person import erase_person
from service.flows.trail import exports
from service.kernel.call import Call, Operator
from service.kernel.folders import Folders, Room
from service.kernel.refusal import Refused
from service.runtime import Runtime
from tests import given
from tests.http.admin.test_audit import EXPORTS
from tests.http.admin.test_people import UNKNOWN
from tests.keys import Owner, an_owner

Browser = Callable[..., httpx2.AsyncClient]
EMAIL = "wren@acme.example"


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> Owner:
    return await an_owner(rt, browser())


@pytest.fixture
async def wren(rt: Runtime, owner: Owner, browser: Browser) -> Owner:
    """A member who left traces here, a session that has ended among them, and elsewhere."""
    theirs = browser(ip="198.51.100.77", agent="agent-of-wren")
    member = await an_owner(rt, theirs, EMAIL, role="member")
    other = await given.an_organization(rt, "other")
    await given.a_membership(rt, member.person.user_id, other, "member")
    elsewhere = browser(ip="203.0.113.9", agent="agent-elsewhere")
    told = await elsewhere.post(
        "/auth/login",
        json={"email": EMAIL, "password": given.PASSWORD, "organization": "other"},
    )
    assert told.status_code == 200, told.text
    ended = browser(ip="198.51.100.78")
    await ended.post("/auth/login", json={"email": EMAIL, "password": given.PASSWORD})
    await ended.post("/auth/logout", json={})
    await member.create(name="key-of-wren")
    await owner.create(name="key-of-ada")
    return member


def path(who: object) -> str:
    return f"/admin/users/{who}/personal-data/exports"


async def exported(client: httpx2.AsyncClient, who: object) -> list[dict[str, Any]]:
    """Export and download; return the lines."""
    answer = await client.post(path(who))
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    last = json.loads(answer.text.splitlines()[-1])
    sent = await client.get(f"{EXPORTS}/{last['name']}")
    assert sent.status_code == 200
    assert hashlib.sha256(sent.content).hexdigest() == last["sha256"]
    return [json.loads(line) for line in gzip.decompress(sent.content).splitlines()]


async def test_a_member_s_data_of_this_organization_is_written_whole(
    rt: Runtime, owner: Owner, wren: Owner
) -> None:
    who = str(wren.person.user_id)
    invited = await owner.http.post("/admin/users", json={"email": EMAIL})
    lines = await exported(owner.http, who)
    kinds = [one["kind"] for one in lines]
    assert kinds[0] == "account"
    assert [kinds.count(kind) for kind in ("account", "session", "api_key")] == [1, 2, 1]
    account = lines[0]
    assert (account["id"], account["email"], account["role"]) == (who, EMAIL, "member")
    sessions = [one for one in lines if one["kind"] == "session"]
    assert {one["address"] for one in sessions} == {"198.51.100.77", "198.51.100.78"}
    assert sorted(one["ended_why"] or "" for one in sessions) == ["", "signed_out"]
    (key,) = [one for one in lines if one["kind"] == "api_key"]
    assert key["name"] == "key-of-wren"
    sent = [one["id"] for one in lines if one["kind"] == "invitation"]
    assert sent == ([invited.json()["id"]] if invited.status_code == 201 else [])
    kept = [
        str(one["event_id"])
        for one in await given.events(rt)
        if str(one["user_id"]) == who
        and one["tenant_id"] == wren.person.tenant_id
        and one["event_type"] != "user.exported"
    ]
    assert [one["id"] for one in lines if one["kind"] == "event"] == kept
    assert len(kept) >= 4


async def test_nothing_of_elsewhere_of_others_and_no_secret_is_among_it(
    rt: Runtime, owner: Owner, wren: Owner
) -> None:
    text = json.dumps(await exported(owner.http, wren.person.user_id))
    for foreign in ("203.0.113.9", "agent-elsewhere", "key-of-ada", "ada@acme.example"):
        assert foreign not in text
    async with rt.pg.reading() as tx:
        secret = await tx.fetchrow(
            "SELECT u.password_hash, encode(k.secret_mac, 'hex') AS mac,"
            " encode(f.token_hash, 'hex') AS token, encode(f.handle_hash, 'hex') AS handle"
            " FROM auth_users u JOIN auth_api_keys k ON k.owner_id = u.user_id"
            " JOIN auth_sessions s ON s.user_id = u.user_id JOIN auth_families f USING (session_id)"
            " WHERE u.user_id = $1",
            wren.person.user_id,
        )
    assert secret is not None
    for value in secret.values():
        assert value
        assert value not in text


async def test_the_export_is_an_event_and_a_file_that_says_of_whom(
    rt: Runtime, owner: Owner, wren: Owner
) -> None:
    await exported(owner.http, wren.person.user_id)
    (event,) = await given.events(rt, "user.exported")
    assert (event["user_id"], event["actor_id"]) == (
        wren.person.user_id,
        str(owner.person.user_id),
    )
    (kept,) = Folders(rt.settings.data_dir).list(wren.person.tenant_id, Room.EXPORTS)
    assert kept.name.startswith(f"person-{wren.person.user_id}-")
    assert event["detail"]["name"] == kept.name


async def test_from_where_others_acted_is_theirs_and_what_one_did_to_others_is_one_s_own(
    owner: Owner, wren: Owner
) -> None:
    who, ada = str(wren.person.user_id), str(owner.person.user_id)
    told = await owner.ask("PUT", f"/admin/users/{who}/role", json={"role": "auditor"})
    assert told.status_code == 200, told.text
    of_wren, of_ada = [
        next(
            one
            for one in await exported(owner.http, person)
            if one.get("type") == "membership.role_changed"
        )
        for person in (who, ada)
    ]
    assert of_wren["id"] == of_ada["id"]
    assert (of_wren["user_id"], of_wren["actor"]["id"]) == (who, ada)
    assert (of_wren["address"], of_wren["user_agent"]) == (None, None)
    assert of_ada["address"]


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 201), ("admin", 201), ("auditor", 403), ("member", 403)]
)
async def test_who_administers_people_may_and_no_other(
    rt: Runtime, browser: Browser, wren: Owner, role: str, status: int
) -> None:
    asking = await an_owner(rt, browser(), "asking@acme.example", role=role)
    assert (await asking.ask("POST", path(wren.person.user_id))).status_code == status


async def test_a_stranger_is_nobody(rt: Runtime, owner: Owner) -> None:
    stranger = await given.a_person(rt, "eve@evil.example", slug="evil")
    same = {"x-request-id": "same-for-all"}
    answers = [
        await owner.ask("POST", path(who), headers=same) for who in (stranger.user_id, UNKNOWN)
    ]
    assert {one.status_code for one in answers} == {404}
    assert len({one.content for one in answers}) == 1
    assert "user.exported" not in await given.kinds(rt)


async def test_the_files_of_both_kinds_share_one_bound(
    owner: Owner, wren: Owner, rt: Runtime
) -> None:
    folders = Folders(rt.settings.data_dir)
    for number in range(Room.EXPORTS.most):
        with folders.write(wren.person.tenant_id, Room.EXPORTS, f"a{number}.ndjson.gz") as file:
            file.write(b"x")
    answer = await owner.ask("POST", path(wren.person.user_id))
    assert answer.status_code == 409
    assert "user.exported" not in await given.kinds(rt)


async def test_who_may_not_make_such_a_file_may_not_take_it_either(
    rt: Runtime, browser: Browser, owner: Owner, wren: Owner
) -> None:
    await exported(owner.http, wren.person.user_id)
    (kept,) = Folders(rt.settings.data_dir).list(wren.person.tenant_id, Room.EXPORTS)
    auditor = await an_owner(rt, browser(), "au@acme.example", role="auditor")
    for method in ("GET", "DELETE"):
        answer = await auditor.ask(method, f"{EXPORTS}/{kept.name}")
        assert answer.status_code == 403, method
    assert (await owner.ask("DELETE", f"{EXPORTS}/{kept.name}")).status_code == 204


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> Owner:
    return await an_owner(rt, browser(), "root@top.example", slug="top", platform_admin=True)


async def test_who_is_erased_is_erased_from_the_folder_too(
    rt: Runtime, owner: Owner, wren: Owner, root: Owner
) -> None:
    await exported(owner.http, wren.person.user_id)
    await exported(owner.http, owner.person.user_id)
    erased = await root.ask("DELETE", f"/admin/users/{wren.person.user_id}/personal-data")
    assert erased.status_code == 204
    left = Folders(rt.settings.data_dir).list(wren.person.tenant_id, Room.EXPORTS)
    assert [one.name[:43] for one in left] == [f"person-{owner.person.user_id}"]


async def test_who_left_and_of_whom_no_event_is_kept_is_erased_from_the_folder_too(
    rt: Runtime, owner: Owner, wren: Owner, root: Owner
) -> None:
    await exported(owner.http, wren.person.user_id)
    gone = await owner.ask("DELETE", f"/admin/users/{wren.person.user_id}")
    assert gone.status_code == 204
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_eventos")
    erased = await root.ask("DELETE", f"/admin/users/{wren.person.user_id}/personal-data")
    assert erased.status_code == 204
    assert Folders(rt.settings.data_dir).list(wren.person.tenant_id, Room.EXPORTS) == []


async def test_an_export_under_way_while_its_person_is_erased_leaves_no_file(
    rt: Runtime, wren: Owner, call: Callable[..., Call]
) -> None:
    who = wren.person.user_id
    operator = call(actor=Operator())
    begun = await exports.begin_person(rt, operator, wren.person.tenant_id, who)
    await erase_person(rt, operator, who)
    with pytest.raises(Refused, match="erased"):
        async for _ in exports.run(rt, begun):
            pass
    room = rt.settings.data_dir / "organizations" / str(wren.person.tenant_id) / "exports"
    assert list(room.iterdir()) == []


async def test_who_cannot_be_erased_from_the_folder_is_not_erased_at_all(
    rt: Runtime, owner: Owner, wren: Owner, root: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exported(owner.http, wren.person.user_id)

    def _full(*_given: object, **_more: object) -> None:
        raise OSError(5, "Input/output error")

    url = f"/admin/users/{wren.person.user_id}/personal-data"
    with monkeypatch.context() as broken:
        broken.setattr("os.unlink", _full)
        assert (await root.ask("DELETE", url)).status_code == 409
    assert (await wren.ask("GET", "/auth/me")).status_code == 200
    assert "user.erased" not in await given.kinds(rt)
    assert (await root.ask("DELETE", url)).status_code == 204


async def test_an_export_from_outside_is_on_record_inside(
    rt: Runtime, wren: Owner, root: Owner
) -> None:
    there = {"tenant_id": str(wren.person.tenant_id)}
    assert (await root.ask("POST", path(wren.person.user_id))).status_code == 404
    answer = await root.ask("POST", path(wren.person.user_id), params=there)
    assert answer.status_code == 201, answer.text
    (event,) = await given.events(rt, "user.exported")
    assert UUID(event["detail"]["crossing_from"]) == root.person.tenant_id
