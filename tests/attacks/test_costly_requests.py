"""Small requests that would cost much: a worker has one thread for everybody.

Processor time is what is counted, so that a busy machine is no fault.
"""

import time
from collections.abc import Callable

import httpx2
import pytest

from service.domain.users import refuse_weak
from service.http.shell import Shell
from service.kernel.refusal import Refused
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime
from tests import given
from tests.http import asking
from tests.world import GENEROUS

LONGEST_PATH = 65_000
"""Bytes; the HTTP server takes no longer one."""

LIGATURE = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}"
"""Eighteen characters after NFKC."""


@pytest.mark.parametrize("piece", ["a", "/a", "a/", "/.a", "%2", "%25", "."])
async def test_a_long_path_is_looked_at_once(app: Shell, piece: str) -> None:
    path = ("/" + piece * LONGEST_PATH)[:LONGEST_PATH] + "x"
    began = time.process_time()
    answer = await asking.raw(app, "GET", path)
    assert time.process_time() - began < 0.2
    assert answer.status == 404


@pytest.mark.parametrize(
    "password",
    [
        LIGATURE * 1024,
        "a" * 1024,
        "password" * 128,
        "".join("a\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}" for _ in range(1024)),
        "a" + "\N{COMBINING DOT BELOW}\N{COMBINING ACUTE ACCENT}" * 2047,
    ],
    ids=["ligatures", "one letter", "one word", "accents", "accents on one letter"],
)
def test_a_long_password_is_judged_at_once(password: str) -> None:
    refuse_weak("to read the list", email="ada@acme.example", organization="Acme")
    began = time.process_time()
    try:
        refuse_weak(password, email="ada@acme.example", organization="Acme")
    except Refused as refused:
        assert refused.fields == ("password",)  # noqa: PT017 - weak or not, it is soon known
    assert time.process_time() - began < 0.2


class TestSignedIn:
    """Whoever is signed in buys no more hashes than they may."""

    @pytest.fixture
    def policy(self) -> Policy:
        return Policy(limits=Limits(login=GENEROUS, create=Limit(3, 60)))

    async def test_attempts_at_the_change_of_a_password_are_limited_also_while_it_is_locked(
        self, rt: Runtime, client: httpx2.AsyncClient, browser: Callable[..., httpx2.AsyncClient]
    ) -> None:
        ada = await given.a_person(rt)
        answer = await asking.sign_in(client, ada)
        form = {"current_password": "not the password", "new_password": "a new good one"}
        answers = [
            await client.put("/auth/password", json=form, headers=asking.bearer(answer))
            for _ in range(5)
        ]
        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await given.kinds(rt)).count("password.change_failed") == 3
        bob = await given.a_person(rt, "bob@acme.example")
        other = await asking.sign_in(browser(), bob)
        refused = await client.put("/auth/password", json=form, headers=asking.bearer(other))
        assert refused.status_code == 401  # the budget is the person's, not the address's

    async def test_switches_of_organization_are_limited(
        self, rt: Runtime, client: httpx2.AsyncClient
    ) -> None:
        ada = await given.a_person(rt)
        other = await given.an_organization(rt, "other")
        await given.a_membership(rt, ada.user_id, other, "member")
        answer = await asking.sign_in(client, ada)
        for slug in ("other", "acme", "other"):
            answer = await client.post(
                "/auth/organization", json={"organization": slug}, headers=asking.bearer(answer)
            )
            assert answer.status_code == 200
        limited = await client.post(
            "/auth/organization", json={"organization": "acme"}, headers=asking.bearer(answer)
        )
        assert limited.status_code == 429
        assert await given.live_families(rt) == 1


async def test_who_waits_out_a_refusal_is_not_on_the_way_to_be_hashed(
    rt: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slow scheme on file would have refusals that sleep turn honest people away."""
    counted = []

    async def look(_moment: float) -> None:
        counted.append(rt.passwords._coming)

    monkeypatch.setattr(rt.clock, "sleep_until", look)
    assert (await asking.sign_in(client, await given.a_person(rt), "wrong")).status_code == 401
    assert counted == [0]
