"""A new password: what it may be, and what ends with the old one."""

import unicodedata
from collections.abc import Callable

import argon2
import httpx2
import pytest

from service.kernel.refusal import unavailable
from service.runtime import Runtime
from tests import given
from tests.http import asking

NEW = "an altogether new one"


async def change(
    client: httpx2.AsyncClient, answer: httpx2.Response, current: str, new: str
) -> httpx2.Response:
    return await client.put(
        "/auth/password",
        json={"current_password": current, "new_password": new},
        headers=asking.bearer(answer),
    )


async def test_a_change_ends_the_other_sessions_at_once_and_keeps_this_one(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    here, there, elsewhere = browser(), browser(), browser()
    mine, other = await asking.sign_in(here, ada), await asking.sign_in(there, ada)
    of_bob = await asking.sign_in(elsewhere, bob)

    changed = await change(here, mine, ada.password, NEW)
    assert (changed.status_code, changed.content) == (204, b"")
    assert await asking.me(there, other) == 401
    assert (await asking.renew(there)).status_code == 401
    assert await asking.me(here, mine) == 200
    assert (await asking.renew(here)).status_code == 200
    assert await asking.me(elsewhere, of_bob) == 200
    assert (await asking.sign_in(browser(), ada)).status_code == 401
    assert (await asking.sign_in(browser(), ada, NEW)).status_code == 200
    (event,) = await given.events(rt, "password.changed")
    assert event["detail"] == {"sessions_ended": 1}
    assert (event["actor_kind"], event["actor_id"]) == ("user", str(ada.user_id))
    assert "family.burned" not in await given.kinds(rt)


async def test_a_wrong_current_password_changes_nothing_and_is_recorded(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    refused = await change(client, answer, "a wrong one", NEW)
    assert refused.status_code == 401
    assert refused.json()["type"] == "urn:tesserra:refusal:bad_credentials"
    assert (await asking.sign_in(client, ada)).status_code == 200
    (event,) = await given.events(rt, "password.change_failed")
    assert event["detail"] == {"why": "wrong_password"}


async def test_a_weak_new_password_is_named_and_costs_no_strike(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    for _ in range(7):
        refused = await change(client, answer, ada.password, "password")
        assert refused.status_code == 400
        assert refused.json()["fields"] == ["new_password"]
    assert (await change(client, answer, ada.password, NEW)).status_code == 204


async def test_a_new_password_that_nobody_has_time_to_hash_costs_no_strike(
    rt: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)

    async def shed(_password: str) -> str:
        raise unavailable("password hashing queue is full", retry_after=2)

    with monkeypatch.context() as full:
        full.setattr(rt.passwords, "hash", shed)
        for _ in range(7):
            assert (await change(client, answer, ada.password, NEW)).status_code == 503
    assert (await change(client, answer, ada.password, NEW)).status_code == 204


async def test_after_a_change_the_other_devices_are_strangers(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    ada = await given.a_person(rt)
    here, there, stranger = browser(), browser(), browser()
    mine = await asking.sign_in(here, ada)
    await asking.sign_in(there, ada)
    await change(here, mine, ada.password, NEW)
    for _ in range(5):
        await asking.sign_in(stranger, ada, "a wrong one")
    assert (await asking.sign_in(there, ada, NEW)).status_code == 401
    assert (await asking.sign_in(here, ada, NEW)).status_code == 200


@pytest.mark.parametrize(
    "password",
    [
        "\N{GRINNING FACE}\N{CRAB}\N{ROCKET}\N{OWL}" * 16,
        unicodedata.normalize("NFD", "éäöüñåíóúâêîôû")[:27] * 70,
        "ab\0cd\0efgh-q",
        " leading, trailing and \N{NO-BREAK SPACE} ",
    ],
)
async def test_every_character_of_a_password_counts(
    rt: Runtime, client: httpx2.AsyncClient, password: str
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    assert (await change(client, answer, ada.password, password)).status_code == 204
    assert (await asking.sign_in(client, ada, password)).status_code == 200
    assert (await asking.sign_in(client, ada, password[:-1])).status_code == 401


COMPOSED = "stra\N{LATIN SMALL LETTER SHARP S}e nach k\N{LATIN SMALL LETTER O WITH DIAERESIS}ln"
FORMS = {form: unicodedata.normalize(form, COMPOSED) for form in ("NFC", "NFD")}


@pytest.mark.parametrize("chosen", FORMS)
async def test_a_password_signs_in_in_whichever_unicode_form_it_is_typed(
    rt: Runtime, client: httpx2.AsyncClient, chosen: str
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    assert (await change(client, answer, ada.password, FORMS[chosen])).status_code == 204
    for typed in FORMS.values():
        answer = await asking.sign_in(client, ada, typed)
        assert answer.status_code == 200
        assert (await change(client, answer, typed, FORMS[chosen])).status_code == 204


@pytest.mark.parametrize("first", FORMS)
async def test_an_older_hash_of_another_form_signs_in_by_either_and_is_replaced(
    rt: Runtime, client: httpx2.AsyncClient, first: str
) -> None:
    of_before = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    hashed = of_before.hash(FORMS["NFD"].encode())
    ada = await given.a_person(rt, password_hash=hashed)
    for typed in (first, "NFC", "NFD"):
        assert (await asking.sign_in(client, ada, FORMS[typed])).status_code == 200
    signed_in = await given.events(rt, "sign_in.succeeded")
    rehashed = [event["detail"].get("password_rehashed", False) for event in signed_in]
    assert rehashed == [True, False, False]
