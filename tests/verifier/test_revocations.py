"""Revocations at hand: what they hit, how current they are, and what is done when they are not."""

import asyncio
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tesserra_verifier import InvalidTokenError, UnavailableError, Verifier
from tesserra_verifier.claims import Claims, read
from tesserra_verifier.clock import ServiceClock
from tesserra_verifier.revoked import Revoked

from tests.verifier.conftest import Open, eventually
from tests.verifier.standin import AUDIENCE, ISSUER, StandIn

CUTOFF = {"sub", "tenant_id", "client_id"}


async def outcome(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except InvalidTokenError as exc:
        return exc.reason
    except UnavailableError:
        return "unavailable"
    return "accepted"


async def becomes(verifier: Verifier, token: str, wanted: str, seconds: float = 10) -> float:
    async def is_so() -> bool:
        return await outcome(verifier, token) == wanted

    return await eventually(is_so, seconds)


@pytest.mark.parametrize("kind", ["jti", "sid", "sub", "tenant_id", "client_id", "akid", "kid"])
async def test_each_kind_stops_the_tokens_that_bear_it_and_no_other(
    opened: Open, issuer: StandIn, kind: str
) -> None:
    if kind == "kid":
        issuer.rotate()
    verifier = await opened()
    payload = issuer.payload(akid="key-1", client_id="robot")
    token = issuer.token(**payload)
    other = issuer.token(issuer.keys[-1])
    assert await outcome(verifier, token) == "accepted"
    value = issuer.keys[0].kid if kind == "kid" else payload[kind]
    issuer.revoke(kind, value, cutoff=time.time() if kind in CUTOFF else None)
    assert await becomes(verifier, token, "revoked") < 0.5
    assert await outcome(verifier, other) == "accepted"


async def test_a_cutoff_counts_its_own_second_and_spares_the_next(
    verifier: Verifier, issuer: StandIn
) -> None:
    second = int(issuer.now())
    before, after = issuer.token(sub="ada", iat=second), issuer.token(sub="ada", iat=second + 1)
    issuer.revoke("sub", "ada", cutoff=second + 0.9)
    await becomes(verifier, before, "revoked")
    assert await outcome(verifier, after) == "accepted"
    issuer.revoke("sub", "ada", cutoff=second - 100)
    issuer.revoke("jti", "other")
    await eventually(lambda: has_entries(verifier, 2))
    assert await outcome(verifier, before) == "revoked"


async def test_a_kind_that_is_newer_than_the_library_works_by_its_claim(
    verifier: Verifier, issuer: StandIn
) -> None:
    token, other = issuer.token(device="d-1"), issuer.token(device=["d-1"])
    issuer.revoke("device", "d-1")
    await becomes(verifier, token, "revoked")
    assert await outcome(verifier, other) == "accepted"


async def test_a_person_cut_off_in_one_organization_is_let_in_everywhere_else(
    verifier: Verifier, issuer: StandIn
) -> None:
    here, there = (issuer.token(sub="ada", tenant_id=name) for name in ("a", "b"))
    nowhere, other = issuer.token(sub="ada", tenant_id=None), issuer.token(tenant_id="a")
    issuer.revoke("sub", "ada", cutoff=time.time(), tenant_id="a")
    assert await becomes(verifier, here, "revoked") < 0.5
    for token in (there, nowhere, other):
        assert await outcome(verifier, token) == "accepted"
    later = issuer.token(sub="ada", tenant_id="a", iat=int(issuer.now()) + 2)
    assert await outcome(verifier, later) == "accepted"
    issuer.revoke("sub", "ada", cutoff=time.time())
    assert await becomes(verifier, there, "revoked") < 0.5
    assert await outcome(verifier, nowhere) == "revoked"


async def test_a_verifier_that_does_not_know_the_organization_of_an_entry_refuses_too_much(
    issuer: StandIn,
) -> None:
    """One of before `tenant_id` reads the members it knows: kind, value, cutoff, expires_at."""
    cutoff, ends = time.time(), time.time() + 900
    new, old = Revoked(), Revoked()
    new.add("sub", "ada", cutoff, ends, "a")
    old.add("sub", "ada", cutoff, ends)
    for name, refused in (("a", ("sub", "sub")), ("b", (None, "sub"))):
        claims = read(issuer.payload(sub="ada", tenant_id=name), "k", ISSUER, AUDIENCE)
        assert (new.find(claims), old.find(claims)) == refused
    new.prune(ends + 61)
    assert len(new) == 0


async def has_entries(verifier: Verifier, count: int) -> bool:
    return verifier.entries == count


async def test_pages_are_read_to_the_end_before_anything_is_vouched_for(
    opened: Open, issuer: StandIn
) -> None:
    token = issuer.token()
    for number in range(95):
        issuer.revoke("jti", f"{number}")
    issuer.revoke("jti", (await (await opened()).verify(token)).jti)
    issuer.mute = {"/revocations"}
    slow = await opened(page=10, patience=0)
    assert await outcome(slow, token) == "unavailable"
    issuer.mute = set()
    outcomes = set()
    while slow.entries < 96:
        outcomes.add(await outcome(slow, token))
        await asyncio.sleep(0)
    assert outcomes <= {"unavailable", "revoked"}
    assert await outcome(slow, token) == "revoked"


@pytest.mark.parametrize("fault", ["down", "mute"])
async def test_by_default_a_stale_verifier_refuses_and_recovers_alone(
    verifier: Verifier, issuer: StandIn, fault: str
) -> None:
    token, doomed = issuer.token(), issuer.token(sid="s-1")
    assert await outcome(verifier, token) == "accepted"
    setattr(issuer, fault, {"/revocations"})
    issuer.revoke("sid", "s-1")
    took = await becomes(verifier, token, "unavailable")
    assert took < 2.5  # the bound is 2 s after the last answered request
    assert verifier.staleness > 2
    setattr(issuer, fault, set())
    await becomes(verifier, token, "accepted")
    assert await outcome(verifier, doomed) == "revoked"  # nothing of the gap was missed
    assert verifier.staleness < 2


async def test_a_known_revocation_is_obeyed_however_stale_and_under_every_rule(
    opened: Open, issuer: StandIn
) -> None:
    verifiers = [await opened(when_stale=rule) for rule in ("refuse", "introspect", "accept")]
    token = issuer.token(sid="s-1")
    issuer.revoke("sid", "s-1")
    for verifier in verifiers:
        await becomes(verifier, token, "revoked")
    issuer.down = {"*"}
    for verifier in verifiers:
        await eventually(lambda of=verifier: is_stale(of))  # type: ignore[misc]
        assert await outcome(verifier, token) == "revoked"


async def is_stale(verifier: Verifier) -> bool:
    return verifier.staleness > 2


async def test_a_stale_verifier_may_ask_the_service_about_each_token(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(when_stale="introspect")
    token = issuer.token()
    await verifier.verify(token)
    assert "/oauth/introspect" not in issuer.asked
    issuer.down = {"/revocations"}
    await eventually(lambda: is_stale(verifier))
    assert await outcome(verifier, token) == "accepted"
    assert issuer.asked.count("/oauth/introspect") == 1
    issuer.active = False
    assert await outcome(verifier, token) == "revoked"
    issuer.down = {"*"}
    assert await outcome(verifier, token) == "unavailable"


async def test_a_stale_verifier_may_accept(opened: Open, issuer: StandIn) -> None:
    verifier = await opened(when_stale="accept")
    issuer.down = {"*"}
    await eventually(lambda: is_stale(verifier))
    assert await outcome(verifier, issuer.token()) == "accepted"
    assert await outcome(verifier, issuer.token(exp=1)) == "expired"


async def test_a_verifier_that_may_accept_when_stale_does_not_while_it_knows_nothing_at_all(
    opened: Open, issuer: StandIn
) -> None:
    issuer.down = {"/oauth/token", "/revocations"}
    issuer.tenant_id = "acme"  # of that it is told with its own token, which it cannot get either
    verifier = await opened(when_stale="accept", patience=0.3)
    issuer.revoke("sid", "gone")
    for tenant_id in ("acme", "other"):
        token = issuer.token(sid="gone", tenant_id=tenant_id)
        assert await outcome(verifier, token) == "unavailable"
    issuer.down = set()
    await becomes(verifier, issuer.token(tenant_id="acme"), "accepted")


async def test_a_service_that_hangs_holds_nobody_up_however_many_ask(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(when_stale="introspect")
    issuer.mute = {"/revocations", "/oauth/introspect"}
    await eventually(lambda: is_stale(verifier))
    start = time.monotonic()
    asked = [outcome(verifier, issuer.token()) for _ in range(200)]
    assert set(await asyncio.gather(*asked)) == {"unavailable"}
    assert time.monotonic() - start < 5


async def test_a_verifier_that_starts_alone_refuses_and_recovers_alone(
    opened: Open, issuer: StandIn
) -> None:
    issuer.down = {"*"}
    verifier = await opened(patience=0.2)
    token = issuer.token()
    assert verifier.staleness == math.inf
    assert await outcome(verifier, token) == "unavailable"
    issuer.down = set()
    assert await becomes(verifier, token, "accepted") < 6


async def test_its_tasks_come_back_when_something_ends_them(
    verifier: Verifier, issuer: StandIn
) -> None:
    for task in list(verifier._tasks.values()):
        task.cancel()
    token = issuer.token(sid="s-1")
    issuer.revoke("sid", "s-1")
    assert await becomes(verifier, token, "revoked") < 2


async def test_leaving_it_leaves_no_task_behind(issuer: StandIn) -> None:
    before = asyncio.all_tasks()
    async with issuer.client() as http:
        async with Verifier(ISSUER, AUDIENCE, "orders", "s", http=http) as verifier:
            await verifier.verify(issuer.token())
        assert not http.is_closed
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("epoch", ["the first", None])
async def test_a_feed_that_forgot_its_entries_is_read_again_from_the_start(
    opened: Open, issuer: StandIn, epoch: str | None
) -> None:
    issuer.epoch = epoch
    verifier = await opened()
    old, new = issuer.token(sid="old"), issuer.token(sid="new")
    for number in range(5):
        issuer.revoke("jti", f"{number}")
    issuer.revoke("sid", "old")
    await becomes(verifier, old, "revoked")
    issuer.forget()
    issuer.revoke("sid", "new")
    await becomes(verifier, new, "revoked")
    assert await outcome(verifier, old) == "revoked"  # what was revoked stays revoked


async def test_a_feed_that_was_restored_and_outgrew_the_cursor_is_read_again_from_the_start(
    verifier: Verifier, issuer: StandIn
) -> None:
    old, doomed = issuer.token(sid="old"), issuer.token(sid="doomed")
    for number in range(5):
        issuer.revoke("jti", f"{number}")
    issuer.revoke("sid", "old")
    await becomes(verifier, old, "revoked")
    issuer.down = {"/revocations"}
    await eventually(lambda: is_stale(verifier))
    issuer.forget()
    issuer.revoke("sid", "doomed")  # by a number that was read before, as another entry's
    for number in range(9):
        issuer.revoke("jti", f"again {number}")
    issuer.down = set()
    assert await becomes(verifier, doomed, "revoked") < 5
    assert await outcome(verifier, old) == "revoked"
    assert verifier.entries == 16


async def test_a_restart_of_the_service_makes_no_verifier_refuse(
    verifier: Verifier, issuer: StandIn
) -> None:
    token = issuer.token()
    for number in range(3):
        issuer.revoke("jti", f"{number}")
    await eventually(lambda: has_entries(verifier, 3))
    asked = issuer.asked.count("/revocations")
    issuer.epoch = "another"
    while issuer.asked.count("/revocations") < asked + 5:
        assert await outcome(verifier, token) == "accepted"
        await asyncio.sleep(0.01)
    assert verifier.entries == 3


ENTRY = {
    "seq": 1,
    "kind": "jti",
    "value": "x",
    "cutoff": None,
    "expires_at": "2100-01-01T00:00:00Z",
}


async def test_a_service_that_is_older_than_epochs_is_followed_by_its_date(
    opened: Open, issuer: StandIn
) -> None:
    issuer.epoch = None
    verifier = await opened()
    token = issuer.token(sid="s-1")
    issuer.revoke("sid", "s-1")
    await becomes(verifier, token, "revoked")
    assert abs(verifier._clock.proven() - time.time()) < 5


@pytest.mark.parametrize(
    "page",
    [
        {},
        [],
        {"entries": [], "next": 0},
        {"entries": [], "next": "0", "has_more": False},
        {"entries": None, "next": 0, "has_more": False},
        {"entries": [ENTRY], "next": 0, "has_more": False},
        {"entries": [ENTRY, ENTRY], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"value": None}], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"expires_at": "tomorrow"}], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"expires_at": "2100-01-01T00:00:00"}], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"kind": 7}], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"cutoff": 7}], "next": 1, "has_more": False},
        {"entries": [ENTRY | {"seq": True}], "next": 1, "has_more": False},
        {"entries": [], "next": 0, "has_more": False, "epoch": 7},
        {"entries": [], "next": 0, "has_more": False, "now": "soon"},
    ],
)  # fmt: skip
async def test_a_page_that_cannot_be_read_vouches_for_nothing(
    opened: Open, issuer: StandIn, page: Any
) -> None:
    issuer.override = page
    verifier = await opened(patience=0.3)
    assert issuer.asked.count("/revocations") >= 1
    assert verifier.staleness == math.inf
    assert await outcome(verifier, issuer.token()) == "unavailable"


async def test_a_client_of_one_organization_accepts_that_organizations_tokens_alone(
    opened: Open, issuer: StandIn
) -> None:
    issuer.tenant_id = "acme"
    verifier = await opened()
    assert await outcome(verifier, issuer.token(tenant_id="acme")) == "accepted"
    assert await outcome(verifier, issuer.token(tenant_id=None)) == "accepted"
    assert await outcome(verifier, issuer.token(tenant_id="other")) == "claims"


async def test_an_answer_of_the_feed_proves_freshness_from_before_it_was_asked_for(
    opened: Open, issuer: StandIn
) -> None:
    verifier = await opened(max_staleness=5)  # so it waits two seconds at a time
    readings: list[float] = []

    async def looked_for_a_while() -> bool:
        # while it waits, what it knows grows older, whatever the service will answer
        readings.append(verifier.staleness)
        return issuer.asked.count("/revocations") >= 8

    await eventually(looked_for_a_while, 20)
    assert 1.9 < max(readings) < 3


async def test_on_a_quiet_day_the_tightest_bound_is_kept(opened: Open, issuer: StandIn) -> None:
    verifier = await opened(max_staleness=2)
    token = issuer.token()

    async def looked_for_a_while() -> bool:
        assert await outcome(verifier, token) == "accepted"
        return issuer.asked.count("/revocations") >= 8

    await eventually(looked_for_a_while, 20)


async def test_a_slow_host_clock_accepts_no_token_past_the_services_time(
    opened: Open, issuer: StandIn
) -> None:
    issuer.clock_ahead = 3600
    verifier = await opened()
    now = time.time()
    assert await outcome(verifier, issuer.token()) == "accepted"
    assert await outcome(verifier, issuer.token(iat=int(now), exp=int(now) + 900)) == "expired"


async def test_a_service_whose_clock_goes_back_has_its_entries_read_again(
    opened: Open, issuer: StandIn
) -> None:
    issuer.clock_ahead = 7200
    verifier = await opened()
    issuer.clock_ahead = 0
    token = issuer.token()
    await becomes(verifier, token, "accepted")
    assert abs(verifier._clock.proven() - time.time()) < 5


@pytest.mark.parametrize("ahead", [-7200, 7200])
async def test_a_proxy_before_the_service_may_be_wrong_about_the_time(
    opened: Open, issuer: StandIn, ahead: float
) -> None:
    issuer.proxy_ahead = ahead
    verifier = await opened()
    assert await outcome(verifier, issuer.token()) == "accepted"
    assert abs(verifier._clock.proven() - time.time()) < 5


class TestServiceClock:
    def test_it_is_never_behind_the_host_or_the_proven_time(self) -> None:
        clock = ServiceClock()
        assert abs(clock.now() - time.time()) < 1
        assert not clock.told(4_133_980_800, 10.0, 10.0)
        assert clock.now() > 4e9

    def test_an_answer_without_a_time_changes_nothing(self) -> None:
        clock = ServiceClock()
        assert not clock.told(None, 1.0, 2.0)
        assert clock.proven() == -math.inf

    def test_a_late_answer_is_not_a_clock_that_went_back(self) -> None:
        clock = ServiceClock()
        assert not clock.told(946_685_400, 0.0, 0.0)
        assert not clock.told(946_685_401, 1.0, 500.0)
        assert clock.told(946_684_800, 500.0, 501.0)


def claims_of(bearing: dict[str, str], iat: int) -> Claims:
    payload: dict[str, Any] = {
        "iss": "",
        "sub": "",
        "aud": "",
        "exp": 0,
        "jti": "",
        "client_id": "",
    }
    return read(payload | bearing | {"iat": iat}, bearing.get("kid", ""), "", "")


KINDS = st.sampled_from(["jti", "sid", "sub", "tenant_id", "client_id", "kid", "akid"])
VALUES = st.sampled_from(["a", "b"])
# as the feed tells them, in microseconds: no 5e-324, which no clock can tell from zero
ENDS = st.integers(0, 400_000_000).map(lambda micros: micros / 1e6)
ENTRIES = st.tuples(KINDS, VALUES, st.floats(0, 300) | st.none(), ENDS)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(ENTRIES, max_size=12),
    st.dictionaries(KINDS, VALUES, min_size=1),
    st.integers(0, 300),
    st.floats(0, 500),
)
def test_no_living_token_escapes_an_entry_whatever_was_pruned(
    entries: list[tuple[str, str, float | None, float]],
    bearing: dict[str, str],
    iat: int,
    pruned_at: float,
) -> None:
    """Against the plain reading of the contract: every entry, kept until it ends."""
    revoked = Revoked()
    for kind, value, cutoff, expires_at in entries:
        revoked.add(kind, value, cutoff if kind in CUTOFF else None, expires_at)
    revoked.prune(pruned_at)
    hit = any(
        bearing.get(kind) == value
        and (kind not in CUTOFF or cutoff is None or iat <= math.floor(cutoff))
        for kind, value, cutoff, expires_at in entries
        if expires_at > pruned_at or kind == "kid"
    )
    found = revoked.find(claims_of(bearing, iat))
    assert found is not None or not hit
    if pruned_at == 0 and found is not None:
        assert hit


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=12))
def test_once_everything_has_ended_nothing_is_kept(
    entries: list[tuple[str, str, float | None, float]],
) -> None:
    revoked = Revoked()
    for entry in entries:
        revoked.add(*entry)
    revoked.prune(460)  # entries end with their minute
    killed = {value for kind, value, *_ in entries if kind == "kid"}
    assert len(revoked) == len(killed)  # whoever holds a killed key can sign for ever
    assert len(revoked._ends) == len(revoked._whole) == bool(killed)
