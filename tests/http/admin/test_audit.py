"""/admin/audit-events: read within the walls, by filter and page; exported with a digest."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from service.flows.trail import exports
from service.flows.trail.exports import ToExport
from service.kernel.call import Call, Operator
from service.kernel.folders import Folders, Room
from service.kernel.ids import TenantId
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.trails import seal_all, some_events
from tests.http.admin.test_people import UNKNOWN, signed_in
from tests.world import GENEROUS

Browser = Callable[..., httpx2.AsyncClient]
Made = Callable[..., Call]
EVENTS = "/admin/audit-events"
EXPORTS = "/admin/audit-events/exports"


@pytest.fixture
async def auditor(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    client.told = await signed_in(rt, client, email="au@acme.example", role="auditor")  # type: ignore[attr-defined]
    return client


@pytest.fixture
async def root(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    await signed_in(rt, client, email="root@top.example", slug="top", platform_admin=True)
    return client


@pytest.fixture
def acme(auditor: httpx2.AsyncClient) -> TenantId:
    return TenantId(UUID(auditor.told["organization"]["id"]))  # type: ignore[attr-defined]


async def items(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(EVENTS, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def exported(client: httpx2.AsyncClient, **form: Any) -> list[dict[str, Any]]:
    answer = await client.post(EXPORTS, json=form)
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_one_s_own_organization_s_events_are_read_and_nobody_else_s(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    made = await some_events(rt, call, acme, 3)
    other = await given.an_organization(rt, "other")
    await some_events(rt, call, other, 3)
    await some_events(rt, call, None, 3)
    found = await items(auditor)
    assert [one["id"] for one in found][:3] == [str(one) for one in reversed(made)]
    assert {one["tenant_id"] for one in found} == {str(acme)}
    newest = found[0]
    assert newest["type"] == "session.moved"
    assert newest["address"] == "192.0.2.1"
    assert newest["detail"]["network_before"] == "192.0.2.0/24"
    assert newest["actor"] == {"kind": "nobody", "id": None}


async def test_pages_by_cursor_have_every_event_once(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    made = await some_events(rt, call, acme, 11)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 4, "type": "session.moved"}
    while True:
        page = (await auditor.get(EVENTS, params=query)).json()
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        await some_events(rt, call, acme, 1)  # what comes meanwhile moves no page
        query["cursor"] = page["next_cursor"]
    assert seen == [str(one) for one in reversed(made)]


async def test_each_filter_finds_what_it_says_and_filters_add_up(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    await some_events(rt, call, acme, 2)
    one, two = await some_events(rt, lambda: call(ip="2001:db8::1"), acme, 2)
    rt.clock.advance(timedelta(minutes=5))
    await some_events(rt, call, acme, 1)
    told = {event["id"]: event for event in await items(auditor)}
    first = told[str(one)]
    for name, value, found in (
        ("type", "sign_in.succeeded", 1),
        ("user_id", first["user_id"], 1),
        ("session_id", first["session_id"], 1),
        ("address", "2001:0db8:0::1", 2),
        ("request_id", first["request_id"], 1),
        ("to", first["occurred_at"], 3),
        ("from", told[str(two)]["occurred_at"], 2),
        ("address", "203.0.113.7", 0),
        ("user_id", UNKNOWN, 0),
    ):
        got = await items(auditor, **{name: value})
        assert len(got) == found, name
        field = {"to": "occurred_at", "from": "occurred_at"}.get(name, name)
        if found == 1:
            assert got[0][field] == value
    both = await items(auditor, address="2001:db8::1", session_id=first["session_id"])
    assert [event["id"] for event in both] == [str(one)]
    assert await items(auditor, address="192.0.2.1", session_id=first["session_id"]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "yesterday"),
        ("from", "2026-01-01"),
        ("to", "2026-01-01T00:00:00"),
        ("to", "9999-99-99T00:00:00Z"),
        ("from", "0001-01-01T00:00:00+14:00"),
        ("type", "'; DROP TABLE auth_eventos"),
        ("type", "x" * 65),
        ("type", "sign_in\x00"),
        ("user_id", "me"),
        ("session_id", "0"),
        ("address", "192.0.2.0/24"),
        ("address", "localhost"),
        ("address", "fe80::1%eth0"),
        ("request_id", "a b"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "ten"),
        ("cursor", "AAAA"),
    ],
)
async def test_a_filter_that_is_none_is_refused_by_name(
    auditor: httpx2.AsyncClient, name: str, value: str
) -> None:
    answer = await auditor.get(EVENTS, params={name: value})
    assert (answer.status_code, answer.json()["fields"]) == (400, [name])
    told = str([one["detail"] for one in answer.json()["errors"]]) + answer.json()["detail"]
    assert value not in told or value.isdigit()


async def test_a_cursor_of_another_list_is_refused(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, root: httpx2.AsyncClient, acme: TenantId
) -> None:
    await some_events(rt, call, acme, 3)
    page = (await root.get(EVENTS, params={"tenant_id": str(acme), "limit": 1})).json()
    ours = (await root.get(EVENTS, params={"cursor": page["next_cursor"]})).json()
    assert ours["fields"] == ["cursor"]
    same = await auditor.get(EVENTS, params={"cursor": page["next_cursor"]})
    assert same.status_code == 200


@pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}/checkpoints", EXPORTS, f"{EXPORTS}/x"])
async def test_a_foreign_organization_answers_like_one_that_is_not_there(
    rt: Runtime, auditor: httpx2.AsyncClient, path: str
) -> None:
    foreign = await given.an_organization(rt, "foreign")
    before = len(await given.events(rt))
    answers = [
        await auditor.get(path, params={"tenant_id": str(tenant)})
        for tenant in (foreign, UNKNOWN, UUID(int=0))
    ]
    assert {answer.status_code for answer in answers} == {404}
    no_id = await auditor.get(path, params={"tenant_id": "x"})
    assert (no_id.status_code, no_id.json()["fields"]) == (400, ["tenant_id"])
    told = [{**answer.json(), "request_id": ""} for answer in answers[:2]]
    assert told[0] == told[1]
    assert len(await given.events(rt)) == before


async def test_a_member_reads_no_trail(rt: Runtime, browser: Browser) -> None:
    client = browser()
    await signed_in(rt, client, email="m@acme.example", role="member")
    for path in (EVENTS, f"{EVENTS}/checkpoints", EXPORTS):
        assert (await client.get(path)).status_code == 403
    assert (await client.post(EXPORTS, json={})).status_code == 403


async def test_a_platform_administrator_crosses_and_leaves_an_event(
    rt: Runtime, call: Made, root: httpx2.AsyncClient, acme: TenantId
) -> None:
    made = await some_events(rt, call, acme, 1)
    found = await items(root, tenant_id=acme, type="session.moved")
    assert [one["id"] for one in found] == [str(made[0])]
    crossing = (await given.events(rt, "organization.crossed"))[-1]
    assert (crossing["tenant_id"], crossing["detail"]["act"]) == (acme, "audit.read")
    unknown = await root.get(EVENTS, params={"tenant_id": UNKNOWN})
    assert unknown.status_code == 404
    assert len(await given.events(rt, "organization.crossed")) == 1


async def test_what_concerns_no_organization_is_the_platform_s_alone(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, root: httpx2.AsyncClient
) -> None:
    await some_events(rt, call, None, 2)
    found = await items(root, tenant_id="platform", type="session.moved")
    assert [one["tenant_id"] for one in found] == [None, None]
    assert (await auditor.get(EVENTS, params={"tenant_id": "platform"})).status_code == 403


async def test_checkpoints_are_listed_with_the_key_that_verifies_them(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    await some_events(rt, call, acme, 2)
    await seal_all(rt)
    told = (await auditor.get(f"{EVENTS}/checkpoints")).json()
    assert told["next_cursor"] is None
    assert [one["tenant_id"] for one in told["items"]] == [str(acme)]
    one = told["items"][0]
    assert one["public_jwk"]["kid"] == one["kid"]
    assert one["token"].count(".") == 2


async def test_an_export_is_told_kept_listed_sent_with_its_digest_and_deleted(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    made = await some_events(rt, call, acme, 5)
    lines = await exported(auditor, type="session.moved")
    last = lines[-1]
    assert (last["events"], last["fraction"]) == (5, 1.0)
    name = last["name"]
    listed = (await auditor.get(EXPORTS)).json()["items"]
    assert [(one["name"], one["bytes"]) for one in listed] == [(name, last["bytes"])]
    sent = await auditor.get(f"{EXPORTS}/{name}")
    assert sent.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in sent.headers
    assert sent.headers["x-content-type-options"] == "nosniff"
    digest = hashlib.sha256(sent.content)
    assert digest.hexdigest() == last["sha256"]
    expected = base64.b64encode(digest.digest()).decode()
    assert sent.headers["repr-digest"] == f"sha-256=:{expected}:"
    assert int(sent.headers["content-length"]) == len(sent.content)
    told = [json.loads(line) for line in gzip.decompress(sent.content).splitlines()]
    assert [one["id"] for one in told] == [str(one) for one in made]
    shown = {one["id"]: one for one in await items(auditor, type="session.moved")}
    for one in told:
        assert {**one, "occurred_at": ""} == {**shown[one["id"]], "occurred_at": ""}
    kept = Folders(rt.settings.data_dir).list(acme, Room.EXPORTS)
    assert [one.name for one in kept] == [name]
    assert (await auditor.delete(f"{EXPORTS}/{name}")).status_code == 204
    assert (await auditor.get(f"{EXPORTS}/{name}")).status_code == 404
    assert (await given.kinds(rt))[-2:] == ["trail.exported", "trail.export_deleted"]


async def test_no_export_is_deleted_without_its_event(
    rt: Runtime, call: Made, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    await some_events(rt, call, acme, 1)
    name = (await exported(auditor))[-1]["name"]
    async with given.no_commit_of(rt, "trail.export_deleted"):
        assert (await auditor.delete(f"{EXPORTS}/{name}")).status_code == 500
        assert (await auditor.get(f"{EXPORTS}/{name}")).status_code == 200
    assert (await auditor.delete(f"{EXPORTS}/{name}")).status_code == 204
    assert (await given.kinds(rt)).count("trail.export_deleted") == 1


async def test_an_export_whose_deletion_was_cut_short_is_deleted_when_asked_again(
    rt: Runtime,
    call: Made,
    auditor: httpx2.AsyncClient,
    acme: TenantId,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await some_events(rt, call, acme, 1)
    name = (await exported(auditor))[-1]["name"]
    folder = rt.settings.data_dir / "organizations" / str(acme) / "exports"
    with monkeypatch.context() as broken:
        broken.setattr("os.unlink", _full)
        assert (await auditor.delete(f"{EXPORTS}/{name}")).status_code == 409
    assert (folder / name).exists()
    assert (await auditor.delete(f"{EXPORTS}/{name}")).status_code == 204
    assert not (folder / name).exists()
    assert (await given.kinds(rt)).count("trail.export_deleted") == 2


def _full(*_given: object, **_more: object) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    "name", ["..%2fx.ndjson.gz", "nothing.ndjson.gz", "con.ndjson.gz", "x", ".part-1", "%00"]
)
async def test_a_name_that_is_no_export_is_not_there(
    auditor: httpx2.AsyncClient, name: str
) -> None:
    for method in ("GET", "DELETE"):
        assert (await auditor.request(method, f"{EXPORTS}/{name}")).status_code == 404


async def test_an_export_of_another_organization_is_recorded_there(
    rt: Runtime, call: Made, root: httpx2.AsyncClient, acme: TenantId
) -> None:
    await some_events(rt, call, acme, 2)
    name = (await exported(root, tenant_id=str(acme)))[-1]["name"]
    event = (await given.events(rt, "trail.exported"))[-1]
    assert event["tenant_id"] == acme
    assert "crossing_from" in event["detail"]
    assert (await root.get(f"{EXPORTS}/{name}")).status_code == 404
    sent = await root.get(f"{EXPORTS}/{name}", params={"tenant_id": str(acme)})
    assert sent.status_code == 200
    assert "organization.crossed" in await given.kinds(rt)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"from": "x"}, "from"),
        ({"to": "2026-01-01T00:00:00"}, "to"),
        ({"type": "A"}, "type"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "to"),
        ({"tenant_id": 5}, "tenant_id"),
        ({"path": "/etc"}, "path"),
    ],
)
async def test_an_export_form_that_is_wrong_is_refused_by_name(
    auditor: httpx2.AsyncClient, form: dict[str, Any], field: str
) -> None:
    answer = await auditor.post(EXPORTS, json=form)
    assert (answer.status_code, answer.json()["fields"]) == (400, [field])


async def test_a_full_folder_takes_no_more_exports(
    rt: Runtime, auditor: httpx2.AsyncClient, acme: TenantId
) -> None:
    folders = Folders(rt.settings.data_dir)
    for number in range(Room.EXPORTS.most):
        with folders.write(acme, Room.EXPORTS, f"e{number}.ndjson.gz") as file:
            file.write(b"")
    before = await given.kinds(rt)
    assert (await auditor.post(EXPORTS, json={})).status_code == 409
    assert await given.kinds(rt) == before


class TestLimit:
    """Creations are thirty a minute, and an export is one."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=GENEROUS, create=Limit(2, 60)))

    async def test_exports_are_made_a_few_at_a_time(
        self, rt: Runtime, auditor: httpx2.AsyncClient
    ) -> None:
        answers = [await auditor.post(EXPORTS, json={}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert int(answers[-1].headers["retry-after"]) > 0


async def test_whoever_stops_listening_leaves_no_file(
    rt: Runtime, call: Made, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_PAGE", 2)
    await some_events(rt, call, acme, 7)
    begun = await exports.begin(rt, call(actor=Operator()), ToExport(tenant_id=acme))
    progress = exports.run(rt, begun)
    steps = [await anext(progress), await anext(progress)]
    assert [one.events for one in steps] == [2, 4]
    assert steps[0].fraction < steps[1].fraction < 1
    await progress.aclose()
    folder = rt.settings.data_dir / "organizations" / str(acme) / "exports"
    assert list(folder.iterdir()) == []
