"""What a genuine token is worth: the whole table."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from service.domain.families import Family, Presented, State, Status, Where, network_of
from service.kernel.ids import SessionId, TenantId, UserId

AT = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GRACE = 10 * SECOND
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
    idle_ttl=timedelta(days=7),
    idle_expires_at=AT + timedelta(days=7),
    last_network="192.0.2.0/24",
    last_agent="tests",
    recorded=False,
    session_ended_at=None,
)


def token(generation: int) -> Presented:
    return Presented(b"x", b"h", generation, b"t")


@pytest.mark.parametrize(
    ("generation", "after", "expected"),
    [
        (5, 0 * SECOND, State.CURRENT),
        (5, GRACE + SECOND, State.CURRENT),
        (4, 0 * SECOND, State.PREVIOUS),
        (4, GRACE, State.PREVIOUS),
        (4, GRACE + timedelta(microseconds=1), State.REPLAYED),
        (3, 0 * SECOND, State.REPLAYED),
        (1, 0 * SECOND, State.REPLAYED),
        (6, 0 * SECOND, State.REPLAYED),
        (999, 0 * SECOND, State.REPLAYED),
    ],
)
def test_a_live_family_judges_by_generation_and_grace(
    generation: int, after: timedelta, expected: State
) -> None:
    assert FAMILY.state(token(generation), AT + after, GRACE) is expected


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
    assert family.state(token(generation), AT, GRACE) is State.ENDED
    long_after = AT + timedelta(days=400)
    assert family.state(token(generation), long_after, GRACE) is State.ENDED


@pytest.mark.parametrize("generation", range(1, 8))
@pytest.mark.parametrize("field", ["idle_expires_at", "absolute_expires_at"])
def test_an_expired_family_is_expired_for_every_token_from_the_very_moment(
    field: str, generation: int
) -> None:
    family = replace(FAMILY, **{field: AT + SECOND})
    before = AT + SECOND - timedelta(microseconds=1)
    assert family.state(token(generation), before, GRACE) is not State.EXPIRED
    assert family.state(token(generation), AT + SECOND, GRACE) is State.EXPIRED


def test_without_a_grace_only_the_same_moment_is_a_retry() -> None:
    assert FAMILY.state(token(4), AT, timedelta()) is State.PREVIOUS
    assert FAMILY.state(token(4), AT + SECOND, timedelta()) is State.REPLAYED


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
