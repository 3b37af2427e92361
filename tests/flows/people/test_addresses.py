"""Addresses at every door: no other's domain is mailed to, and accounts of before still open."""

from collections.abc import Callable

import httpx2
import pytest

from service.flows.people.erase_person import find_person
from service.kernel.refusal import Refused
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run
from tests.http import asking
from tests.smtp import smtp_sink

Browser = Callable[..., httpx2.AsyncClient]
HIDDEN = ["a\u200bda@acme.example", "ada@ac\u00adme.example", "a\u0378da@acme.example"]


@pytest.fixture
async def owner(rt: Runtime, browser: Browser) -> httpx2.AsyncClient:
    client = browser()
    person = await given.a_person(rt, "owner@acme.example", role="owner")
    client.headers.update(asking.bearer(await asking.sign_in(client, person)))
    return client


async def invited(owner: httpx2.AsyncClient, email: str) -> httpx2.Response:
    return await owner.post("/admin/users", json={"email": email})


async def folded_before(rt: Runtime, person: given.Given) -> None:
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_users SET folded_before = true WHERE user_id = $1", person.user_id
        )


@pytest.mark.parametrize(
    ("asked", "mailbox"),
    [
        ("anna@straße.example", "anna@xn--strae-oqa.example"),
        ("nikos@πόλις.example", "nikos@xn--uxadok1c.example"),
        ("anna@xn--strae-oqa.example", "anna@xn--strae-oqa.example"),
        ("Anna@ACME.example", "Anna@acme.example"),
    ],
)
async def test_an_invitation_is_mailed_to_the_very_address(
    rt: Runtime, browser: Browser, asked: str, mailbox: str
) -> None:
    root = browser()
    person = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    root.headers.update(asking.bearer(await asking.sign_in(root, person)))
    async with smtp_sink() as sink:
        url = {"value": f"smtp://127.0.0.1:{sink.port}"}
        assert (await root.put("/admin/secrets/smtp.url", json=url)).status_code < 300
        answer = await invited(root, asked)
    assert (answer.status_code, answer.json()["link"]) == (201, None)
    assert f"<{mailbox}>" in sink.envelopes[0][1]
    assert sink.messages[0]["To"] == mailbox


async def test_people_of_two_domains_that_folding_made_one_are_two(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    for number, email in enumerate(("anna@straße.example", "anna@strasse.example")):
        link = (await invited(owner, email)).json()["link"]
        form = {"token": link.partition("#")[2], "password": f"a fine long password {number}"}
        accepted = await browser().post("/auth/invitations/accept", json=form)
        assert accepted.json()["email"] == email
    for number, email in enumerate(("anna@straße.example", "anna@strasse.example")):
        for tried in range(2):
            form = {"email": email, "password": f"a fine long password {tried}"}
            answer = await browser().post("/auth/login", json=form)
            assert answer.status_code == (200 if tried == number else 401)


async def test_a_domain_is_one_in_either_spelling(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    link = (await invited(owner, "max@xn--bcher-kva.example")).json()["link"]
    form = {"token": link.partition("#")[2], "password": "a fine long password"}
    assert (await browser().post("/auth/invitations/accept", json=form)).status_code == 200
    for email in ("max@bücher.example", "MAX@BÜCHER.example", "max@XN--BCHER-KVA.example"):
        form = {"email": email, "password": "a fine long password"}
        assert (await browser().post("/auth/login", json=form)).status_code == 200
        assert (await invited(owner, email)).status_code == 409


@pytest.mark.parametrize("email", HIDDEN)
async def test_what_nobody_sees_is_refused_at_every_door(
    rt: Runtime, owner: httpx2.AsyncClient, settings: Settings, browser: Browser, email: str
) -> None:
    refused = await invited(owner, email)
    assert (refused.status_code, refused.json()["fields"]) == (400, ["email"])
    done = run(
        settings,
        *("user", "create", "--email", email, "--organization", "acme", "--password-stdin"),
        stdin=b"a fine long password",
    )
    assert "not an e-mail address" in refusal(done, 2)
    form = {"email": email, "password": "a fine long password"}
    unknown = {**form, "email": "nobody@acme.example"}
    headers = {"x-request-id": "the-same"}
    answers = [
        await browser().post("/auth/login", json=f, headers=headers) for f in (form, unknown)
    ]
    assert answers[0].status_code == 401
    assert answers[0].content == answers[1].content


async def test_accounts_of_before_open_as_they_did(rt: Runtime, browser: Browser) -> None:
    """Each was stored under what NFKC and case folding made of what was typed."""
    before = {
        "anna@strasse.example": ["anna@straße.example", "ANNA@strasse.example"],
        "max@xn--bcher-kva.example": ["max@xn--bcher-kva.example", "max@bücher.example"],
        "a\u200bda@acme.example": ["A\u200bda@acme.example"],
        "eve@acme.example": ["\N{FULLWIDTH LATIN SMALL LETTER E}ve@acme.example"],
        "o_o@acme_corp.example": ["O_o@acme_corp.example"],
    }
    for stored, typed in before.items():
        person = await given.a_person(rt, stored)
        await folded_before(rt, person)
        for email in typed:
            form = {"email": email, "password": person.password}
            answer = await browser().post("/auth/login", json=form)
            assert answer.status_code == 200, email
        assert await find_person(rt, stored) == person.user_id


async def test_an_account_of_today_is_nobody_else_s(rt: Runtime, browser: Browser) -> None:
    person = await given.a_person(rt, "anna@strasse.example")
    form = {"email": "anna@straße.example", "password": person.password}
    assert (await browser().post("/auth/login", json=form)).status_code == 401
    with pytest.raises(Refused):
        await find_person(rt, "anna@straße.example")


async def test_of_two_accounts_of_one_mailbox_each_opens_by_its_own_spelling(
    rt: Runtime, browser: Browser
) -> None:
    for number, email in enumerate(("max@bücher.example", "max@xn--bcher-kva.example")):
        person = await given.a_person(rt, email, password=f"a fine long password {number}")
        await folded_before(rt, person)
    for number, email in enumerate(("max@bücher.example", "max@xn--bcher-kva.example")):
        form = {"email": email, "password": f"a fine long password {number}"}
        assert (await browser().post("/auth/login", json=form)).status_code == 200


async def test_no_new_account_takes_the_name_by_which_an_account_of_before_signs_in(
    rt: Runtime, owner: httpx2.AsyncClient, browser: Browser
) -> None:
    vic = await given.a_person(rt, "vic@strasse.example", slug="vics")
    await folded_before(rt, vic)
    typed = "vic@straße.example"
    link = (await invited(owner, typed)).json()["link"]
    form = {"token": link.partition("#")[2], "password": "a password of somebody else's"}
    stranger = await browser().post("/auth/invitations/accept", json={**form, "name": "Vic"})
    assert stranger.status_code == 401
    credentials = {"email": typed, "password": vic.password}
    assert (await browser().post("/auth/login", json=credentials)).status_code == 200


async def test_who_is_erased_is_the_one_that_was_named(rt: Runtime) -> None:
    """Folding makes another's address of what is none; that finds accounts of before alone."""
    await given.a_person(rt, "a@πόλισ.example")
    with pytest.raises(Refused, match="no such person"):
        await find_person(rt, "a@ΠΌΛΙΣ.example")
    nu = await given.a_person(rt, "s@acme.example", slug="other")
    with pytest.raises(Refused, match="no such person"):
        await find_person(rt, "\N{LATIN SMALL LETTER LONG S}@acme.example")
    assert await find_person(rt, "s@acme.example") == nu.user_id
