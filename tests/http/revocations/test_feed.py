"""/revocations: the feed, questions about tokens, and revoking by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service

Browser = Callable[..., httpx2.AsyncClient]


async def signed_in(client: httpx2.AsyncClient, person: given.Given) -> dict[str, Any]:
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


@pytest.fixture
async def reader(rt: Runtime, browser: Browser) -> Machine:
    """A service of the platform that may read the revocations."""
    return await a_service(rt, browser(), "revocations:read")


async def test_a_sign_out_is_on_the_feed_with_the_next_sequence_number(
    rt: Runtime, client: httpx2.AsyncClient, reader: Machine
) -> None:
    told = await signed_in(client, await given.a_person(rt))
    empty = (await reader.get("/revocations")).json()
    assert (empty["entries"], empty["next"], empty["has_more"]) == ([], 0, False)
    assert empty.keys() == {"entries", "next", "has_more", "epoch", "now"}
    await client.post("/auth/logout", json={})
    page = (await reader.get("/revocations")).json()
    assert [(e["seq"], e["kind"], e["value"]) for e in page["entries"]] == [
        (1, "sid", told["session_id"])
    ]
    assert page["next"] == 1
    assert (await reader.get("/revocations?after=1")).json()["entries"] == []


async def test_a_long_poll_is_answered_when_something_is_revoked(
    rt: Runtime, client: httpx2.AsyncClient, reader: Machine
) -> None:
    await signed_in(client, await given.a_person(rt))
    began = rt.clock.monotonic()
    waiting = asyncio.create_task(reader.get("/revocations?after=0&wait=20"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await client.post("/auth/logout", json={})
    page = (await waiting).json()
    assert [entry["seq"] for entry in page["entries"]] == [1]
    assert rt.clock.monotonic() - began < 10


async def test_pages_join_without_a_gap(rt: Runtime, browser: Browser, reader: Machine) -> None:
    person = await given.a_person(rt)
    for _ in range(7):
        one = browser()
        await signed_in(one, person)
        await one.post("/auth/logout", json={})
    seen: list[int] = []
    after, more = 0, True
    while more:
        page = (await reader.get(f"/revocations?after={after}&limit=3")).json()
        seen += [entry["seq"] for entry in page["entries"]]
        after, more = page["next"], page["has_more"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=99", "after"),
        ("after=-1", "after"),
        ("after=x", "after"),
        ("wait=26", "wait"),
        ("limit=9999999", "limit"),
    ],
)
async def test_a_wrong_cursor_or_number_is_named(reader: Machine, query: str, field: str) -> None:
    answer = await reader.get(f"/revocations?{query}")
    assert answer.status_code == 400
    assert answer.json()["fields"] == [field]


async def test_the_stream_carries_the_same_entries_and_resumes(
    rt: Runtime, client: httpx2.AsyncClient, reader: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.revocations._STREAM_SECONDS", 0.2)
    told = await signed_in(client, await given.a_person(rt))
    await client.post("/auth/logout", json={})
    text = (await reader.get("/revocations/stream")).text
    assert text.startswith("id: 1\nevent: revocation\ndata: {")
    assert told["session_id"] in text
    again = (await reader.get("/revocations/stream", headers={"last-event-id": "1"})).text
    assert "event: revocation" not in again
    assert again.startswith("id: 1\n")


async def test_every_answer_tells_the_epoch_of_its_numbers_and_the_time(
    rt: Runtime, reader: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.revocations._STREAM_SECONDS", 0.1)
    rt.clock.advance(timedelta(days=1))  # by the clock of the service, not the host's
    reader = replace(reader, token=(await reader.fresh_token()))
    first, second = [(await reader.get("/revocations")).json() for _ in range(2)]
    assert first["epoch"] == second["epoch"] != ""
    told = datetime.fromisoformat(first["now"])
    assert abs(told - rt.clock.now()) < timedelta(minutes=1)
    streamed = await reader.get("/revocations/stream")
    assert streamed.headers["revocations-epoch"] == first["epoch"]


async def test_one_reader_takes_a_bounded_number_of_places_to_wait_in(
    reader: Machine, rt: Runtime, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.domain.revocations.memory.MOST_WAITING", 1)
    other = await a_service(rt, browser(), "revocations:read")
    waiting = asyncio.create_task(reader.get("/revocations?after=0&wait=2"))
    await asyncio.sleep(0.2)
    refused = await reader.get("/revocations?after=0&wait=2")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (await reader.get("/revocations?after=0")).status_code == 200
    assert (await other.get("/revocations?after=0&wait=1")).status_code == 200
    assert (await waiting).status_code == 200
    assert (await reader.get("/revocations?after=0&wait=1")).status_code == 200


async def test_whose_token_is_revoked_while_they_wait_is_told_nothing_more(
    reader: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.revocations._HEARTBEAT_SECONDS", 0.2)
    waiting = [
        asyncio.create_task(reader.get("/revocations?after=0&wait=20")),
        asyncio.create_task(reader.get("/revocations/stream")),
    ]
    await asyncio.sleep(0.5)
    assert not any(one.done() for one in waiting)
    assert (await reader.ask("/oauth/revoke", token=reader.token)).status_code == 200
    async with asyncio.timeout(5):
        polled, streamed = await asyncio.gather(*waiting)
    assert polled.status_code == 401
    assert "event: revocation" not in streamed.text


async def test_strangers_and_the_unscoped_learn_nothing(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser
) -> None:
    await signed_in(client, await given.a_person(rt, role="owner", platform_admin=True))
    unscoped = await a_service(rt, browser(), "agentes")
    for path in ("/revocations", "/revocations/abc", "/revocations/stream"):
        assert (await browser().get(path)).status_code == 401
        assert (await client.get(path)).status_code == 403
        refused = await unscoped.get(path)
        assert refused.status_code == 403
        assert "insufficient_scope" in refused.text
    assert (await browser().post("/revocations/check", json={"jtis": []})).status_code == 401


async def test_a_token_is_revoked_by_its_jti_and_found(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser, reader: Machine
) -> None:
    admin = browser()
    await signed_in(admin, await given.a_person(rt, "root@acme.example", platform_admin=True))
    told = await signed_in(client, await given.a_person(rt))
    jti = given.claims(told["access_token"])["jti"]
    assert (await reader.get(f"/revocations/{jti}")).json() == {"jti": jti, "revoked": False}
    answer = await admin.post(
        "/revocations", json={"kind": "jti", "value": jti, "reason": "stolen laptop"}
    )
    assert answer.status_code == 201
    assert (await client.get("/auth/me")).status_code == 401
    found = (await reader.get(f"/revocations/{jti}")).json()
    assert (found["revoked"], found["reason"]) == (True, "stolen laptop")
    checked = await reader.post("/revocations/check", json={"jtis": [jti, "other"]})
    assert checked.json() == {"revoked": [jti]}


async def test_more_than_a_thousand_are_refused(reader: Machine) -> None:
    answer = await reader.post("/revocations/check", json={"jtis": ["x"] * 1001})
    assert answer.status_code == 400
    assert answer.json()["fields"] == ["jtis"]


@pytest.mark.parametrize("kind", ["sid", "sub", "tenant_id", "client_id"])
async def test_each_kind_stops_the_tokens_it_names(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser, kind: str
) -> None:
    admin = browser()
    root = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await signed_in(admin, root)
    told = await signed_in(client, await given.a_person(rt))
    service = await a_service(rt, browser(), "agentes", organization="acme")
    claims = given.claims(service.token if kind == "client_id" else told["access_token"])
    answer = await admin.post("/revocations", json={"kind": kind, "value": claims[kind]})
    assert answer.status_code == 201, answer.text
    if kind == "client_id":
        assert (await service.get("/revocations")).status_code == 401
    else:
        assert (await client.get("/auth/me")).status_code == 401
    assert (await admin.get("/auth/me")).status_code == 200
    written = await given.events(rt, "revocation.created")
    assert [event["detail"]["kind"] for event in written] == [kind]


async def test_out_of_reach_answers_like_not_there(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser
) -> None:
    owner, other = client, browser()
    await signed_in(owner, await given.a_person(rt, role="owner"))
    foreign = await signed_in(other, await given.a_person(rt, "eve@evil.example", slug="evil"))
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    answers = [
        await owner.post(
            "/revocations",
            json={"kind": "sid", "value": value},
            headers={"x-request-id": "same-for-both"},
        )
        for value in (foreign["session_id"], unknown)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].content == answers[1].content
    assert (await other.get("/auth/me")).status_code == 200
    assert await given.events(rt, "revocation.created") == []


@pytest.mark.parametrize("kind", ["jti", "sid", "sub", "tenant_id"])
async def test_an_id_is_revoked_however_it_is_written(
    rt: Runtime, client: httpx2.AsyncClient, browser: Browser, kind: str
) -> None:
    admin = browser()
    root = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    await signed_in(admin, root)
    told = await signed_in(client, await given.a_person(rt))
    value = given.claims(told["access_token"])[kind]
    answer = await admin.post("/revocations", json={"kind": kind, "value": value.upper()})
    assert (answer.status_code, answer.json()["value"]) == (201, value)
    assert (await client.get("/auth/me")).status_code == 401


async def test_an_organization_that_is_not_there_is_not_found(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    await signed_in(client, await given.a_person(rt, "root@top.example", platform_admin=True))
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    answer = await client.post("/revocations", json={"kind": "tenant_id", "value": unknown})
    assert answer.status_code == 404
    assert await given.events(rt, "revocation.created") == []


async def test_an_admin_who_is_no_owner_does_not_sign_the_organization_out(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(client, await given.a_person(rt, role="admin"))
    form = {"kind": "tenant_id", "value": told["organization"]["id"]}
    assert (await client.post("/revocations", json=form)).status_code == 403
    assert (await client.get("/auth/me")).status_code == 200
