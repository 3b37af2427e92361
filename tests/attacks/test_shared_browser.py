"""A25: one browser, two people one after the other (Keycloak CVE-2025-12390)."""

from collections.abc import Callable

import httpx2

from service.runtime import Runtime
from tests import given
from tests.http import asking


async def test_whoever_signs_in_after_another_gets_nothing_of_theirs(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    """The first one's sign-out came without cookies, so that nothing was ended."""
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    shared = browser()
    first = await asking.sign_in(shared, ada)
    assert (await browser().post("/auth/logout", json={})).status_code == 204
    second = await asking.sign_in(shared, bob)
    assert second.json()["session_id"] != first.json()["session_id"]
    renewed = await asking.renew(shared)
    for answer in (second, renewed):
        assert answer.json()["user"]["email"] == bob.email
        assert given.claims(answer.json()["access_token"])["sub"] == str(bob.user_id)
    listed = await shared.get("/auth/sessions", headers=asking.bearer(renewed))
    assert [item["id"] for item in listed.json()["items"]] == [second.json()["session_id"]]


async def test_a_session_has_an_id_that_nobody_chose_before(
    rt: Runtime, browser: Callable[..., httpx2.AsyncClient]
) -> None:
    """No fixation: what a browser brings along is not continued."""
    ada = await given.a_person(rt)
    planted, client = await asking.sign_in(browser(), ada), browser()
    token = asking.cookie(planted)
    answer = await client.post(
        "/auth/login",
        json={"email": ada.email, "password": ada.password},
        headers={"cookie": f"{asking.REFRESH}={token}"},
    )
    assert answer.status_code == 200
    assert answer.json()["session_id"] != planted.json()["session_id"]
    assert asking.cookie(answer).split(".")[0] != token.split(".")[0]
