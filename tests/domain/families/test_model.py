"""What a genuine token is worth: the whole table."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from service.domain.families import Family, Grace, PresentedToken, State, Status, Where, network_of
from service.kernel.ids import SessionId, TenantId, UserId

AT = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(microseconds=1)
GRACE = Grace(10 * SECOND, 60 * SECOND)
NONE = Grace(timedelta(), 600 * SECOND)
NOBODY = UUID(int=1)

FAMILY = Family(
    handle_hash=b"h",
    absolute_expires_at=AT + timedelta(days=30),
    session_id=SessionId(NOBODY),
    tenant_id=TenantId(NOBODY),
    user_id=UserId(NOBODY),
    client_id="console",
    amr=("pwd",),
    auth_time=AT,
    status=Status.LIVE,
    generation=5,
    token_hash=b"t",
    rotated_at=AT,
    superseded=(AT - 20 * SECOND, AT - 3 * SECOND),
    idle_ttl=timedelta(days=7),
    idle_expires_at=AT + timedelta(days=7),
    last_network="192.0.2.0/24",
    last_agent="tests",
    recorded=False,
    session_ended_at=None,
)


HERE = Where("192.0.2.9", "192.0.2.0/24", "tests")
ELSEWHERE = [
    Where("198.51.100.9", "198.51.100.0/24", "tests"),
    Where("192.0.2.9", "192.0.2.0/24", "other"),
    Where(None, None, "tests"),
]


def token(generation: int) -> PresentedToken:
    return PresentedToken(b"x", b"h", generation, b"t")


def judged(
    generation: int,
    after: timedelta,
    where: Where = HERE,
    family: Family = FAMILY,
    grace: Grace = GRACE,
) -> State:
    """What a token is worth that arrived so long after the family's last rotation."""
    return family.state(token(generation), AT + after, where, grace)


@pytest.mark.parametrize("where", [HERE, *ELSEWHERE])
@pytest.mark.parametrize(
    ("generation", "after", "expected"),
    [
        (5, 0 * SECOND, State.CURRENT),
        (5, 1000 * SECOND, State.CURRENT),
        (4, -1 * SECOND, State.SUPERSEDED),
        (4, 0 * SECOND, State.SUPERSEDED),
        (4, 10 * SECOND, State.SUPERSEDED),
        (3, 0 * SECOND, State.SUPERSEDED),
        (3, 7 * SECOND, State.SUPERSEDED),
        (3, 7 * SECOND + MOMENT, State.REPLAYED),
        (2, -10 * SECOND, State.SUPERSEDED),
        (2, 0 * SECOND, State.REPLAYED),
        (1, 0 * SECOND, State.REPLAYED),
        (6, 0 * SECOND, State.REPLAYED),
        (999, 0 * SECOND, State.REPLAYED),
    ],
)
def test_within_the_grace_every_superseded_token_is_worth_the_current_one_wherever_it_comes_from(
    generation: int, after: timedelta, expected: State, where: Where
) -> None:
    assert judged(generation, after, where) is expected


def test_an_answer_that_may_be_lost_is_given_again_where_the_family_was_last_seen() -> None:
    assert judged(4, 60 * SECOND) is State.SUPERSEDED
    assert judged(4, 60 * SECOND + MOMENT) is State.REPLAYED
    for where in ELSEWHERE:
        assert judged(4, 10 * SECOND, where) is State.SUPERSEDED
        assert judged(4, 10 * SECOND + MOMENT, where) is State.REPLAYED
    off = Grace(10 * SECOND, timedelta())
    assert judged(4, 10 * SECOND, grace=off) is State.SUPERSEDED
    assert judged(4, 10 * SECOND + MOMENT, grace=off) is State.REPLAYED


def test_a_successor_counts_as_used_from_when_it_was_used_not_from_when_that_is_found_out() -> None:
    """The token of generation 2 was superseded 20 s before, its successor 3 s before."""
    assert judged(2, -3 * SECOND - MOMENT) is State.SUPERSEDED
    assert judged(2, -3 * SECOND) is State.REPLAYED
    for where in ELSEWHERE:
        assert judged(2, -3 * SECOND - MOMENT, where) is State.REPLAYED


@pytest.mark.parametrize("generation", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("after", [-60 * SECOND, -1 * SECOND, 0 * SECOND, SECOND])
def test_without_a_grace_every_second_use_is_a_replay(generation: int, after: timedelta) -> None:
    assert judged(generation, after, grace=NONE) is State.REPLAYED


def test_what_is_not_remembered_was_long_ago() -> None:
    family = replace(FAMILY, generation=200)
    assert [family.superseded_at(n) for n in (196, 197, 198, 199, 200, 201)] == [
        None,
        AT - 20 * SECOND,
        AT - 3 * SECOND,
        AT,
        None,
        None,
    ]
    assert judged(196, -60 * SECOND, family=family) is State.REPLAYED


def test_who_rotates_too_often_to_be_remembered_is_no_exception() -> None:
    """Otherwise a thief who rotates fast enough would keep an honest client's use from telling."""
    often = replace(FAMILY, generation=200, superseded=(AT - MOMENT,) * 127)
    assert judged(200 - 128, SECOND, family=often) is State.SUPERSEDED
    assert judged(200 - 129, SECOND, family=often) is State.REPLAYED


@pytest.mark.parametrize("generation", range(1, 8))
@pytest.mark.parametrize(
    "family",
    [
        replace(FAMILY, session_ended_at=AT),
        replace(FAMILY, status=Status.ENDED),
        replace(FAMILY, status=Status.BURNED),
    ],
    ids=["session ended", "family ended", "burned"],
)
def test_an_ended_family_is_ended_for_every_token_and_no_theft(
    family: Family, generation: int
) -> None:
    assert judged(generation, 0 * SECOND, family=family) is State.ENDED
    assert judged(generation, timedelta(days=400), family=family) is State.ENDED


@pytest.mark.parametrize("generation", range(1, 8))
@pytest.mark.parametrize("field", ["idle_expires_at", "absolute_expires_at"])
def test_an_expired_family_is_expired_for_every_token_from_the_very_moment(
    field: str, generation: int
) -> None:
    family = replace(FAMILY, **{field: AT + SECOND})
    assert judged(generation, SECOND - MOMENT, family=family) is not State.EXPIRED
    assert judged(generation, SECOND, family=family) is State.EXPIRED


@pytest.mark.parametrize(
    ("network", "agent", "moved"),
    [
        ("192.0.2.0/24", "tests", False),
        ("198.51.100.0/24", "tests", True),
        (None, "tests", True),
        ("192.0.2.0/24", "other", True),
    ],
)
def test_it_moved_when_network_or_agent_differ(
    network: str | None, agent: str, *, moved: bool
) -> None:
    assert FAMILY.moved(Where("192.0.2.9", network, agent)) is moved


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        (None, None),
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_a_network_is_the_24_or_the_64(ip: str | None, network: str | None) -> None:
    assert network_of(ip) == network
