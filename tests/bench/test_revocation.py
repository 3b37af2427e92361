"""The measurement of revocation sees what it is there to see."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from bench.machine import Machine
from bench.observer import Accepted, Leave, Observer, Order, Report, Seen, Sweep, Swept, Watch
from bench.revocation import QUICK, WAYS, Crowd, Measuring, Plan, Result, Victim, drawn, table

PLAN = Plan("healthy", 1, 1.0)
VICTIM = Victim("jti", "a-token", "/auth/me", b"", 200)
MACHINE = Machine("2026-01-01", 2, 4.0, "Linux", "3.11", "PostgreSQL 16", {}, 0.0)


def seen(**given: object) -> Seen:
    good = Seen(0, "verifier 1", 5, 5, last_accepted=10.0, first_refused=10.1, back=0, strange={})
    return msgspec.structs.replace(good, **given)


def judged(*places: Seen, answered: float = 9.9) -> Measuring:
    measuring = Measuring(PLAN, Crowd({}), [])
    measuring._judge(VICTIM, answered - 0.1, answered, list(places))
    return measuring


def test_the_lag_is_from_the_answer_to_the_last_acceptance_anywhere() -> None:
    part = judged(seen(), seen(place="verifier 2", last_accepted=10.4), answered=9.9).part()
    assert part.problems == []
    assert part.all.worst == pytest.approx(0.5)
    assert part.since_asked.worst == pytest.approx(0.6)


def test_what_was_dead_before_the_answer_counts_as_zero() -> None:
    assert judged(seen(), answered=10.2).part().all.worst == 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (seen(last_accepted=11.0), "accepted after the bound"),
        (seen(refused=0), "never refused"),
        (seen(back=1), "accepted again"),
        (seen(strange={"/auth/me: 503": 2}), "/auth/me: 503"),
    ],
)
def test_anything_that_is_not_as_published_is_a_problem(wrong: Seen, complaint: str) -> None:
    (problem,) = judged(seen(), wrong).part().problems
    assert complaint in problem


def test_a_revocation_that_was_not_measured_is_a_problem() -> None:
    assert Measuring(PLAN, Crowd({}), []).part().problems == ["not measured (1x)"]


def test_problems_are_printed_and_figures_drawn() -> None:
    result = Result(MACHINE, [judged(seen(refused=0)).part()])
    assert "PROBLEM: jti: never refused" in table(result)
    assert "<svg" in drawn(result)


async def observed(answers: Callable[[int], str], *orders: Order) -> list[Report]:
    """Return what an observer tells of a place that answers so, look by look."""
    told: list[Report] = []
    looks = 0

    async def present(_watch: Watch) -> str:
        nonlocal looks
        looks += 1
        return answers(looks)

    async def given() -> AsyncIterator[Order]:
        yield Watch(7, "a-token", "/auth/me")
        while looks < 3:
            await asyncio.sleep(0.001)
        for order in orders:
            yield order

    await Observer({"place": present}, told.append).run(given())
    return told


async def test_an_observer_tells_when_a_token_was_accepted_and_until_when() -> None:
    told = await observed(lambda look: "accepted" if look < 3 else "refused", Leave(7))
    assert told[0] == Accepted(7)
    (last,) = told[1:]
    assert isinstance(last, Seen)
    assert (last.accepted, last.refused, last.back, last.strange) == (2, 1, 0, {})
    assert 0 < last.last_accepted < last.first_refused


async def test_an_observer_notices_a_token_that_comes_back_and_answers_that_are_neither() -> None:
    answers = {1: "accepted", 2: "/auth/me: 503"}
    told = await observed(lambda look: answers.get(look, "refused"), Leave(7))
    last = told[-1]
    assert isinstance(last, Seen)
    assert last.strange == {"/auth/me: 503": 1}
    told = await observed(lambda look: "refused" if look == 1 else "accepted", Sweep())
    last = told[-1]
    assert isinstance(last, Swept)
    assert last.accepted == [("place", 7)]


def test_every_way_is_taken_also_in_a_quick_run() -> None:
    assert all(plan.revocations >= 2 * len(WAYS) for plan in QUICK)
    assert {plan.lost for plan in QUICK} == {"", "redis"}
