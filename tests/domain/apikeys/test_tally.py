"""What waits in memory is bounded, and nothing of it is lost or counted twice."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from service.domain.apikeys import MOST_PER_MINUTE, Tally, Why
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId, TenantId

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TENANT = TenantId(UUID(int=9))
ONE, OTHER = ApiKeyId(UUID(int=1)), ApiKeyId(UUID(int=2))


def call(n: int = 0) -> Call:
    return Call(request_id=f"r{n}", at=AT, ip=f"192.0.2.{n % 256}")


def test_uses_add_up_and_are_given_back_when_they_could_not_be_written() -> None:
    tally = Tally()
    tally.note_use(OTHER, AT)
    for n in range(3):
        tally.note_use(ONE, AT + timedelta(seconds=n))
    taken = tally.take_uses()
    assert [(u.key_id, u.count) for u in taken] == [(ONE, 3), (OTHER, 1)]
    assert tally.take_uses() == []
    tally.note_use(ONE, AT)
    tally.give_back(taken)
    again = tally.take_uses()
    assert [(u.key_id, u.count) for u in again] == [(ONE, 4), (OTHER, 1)]
    assert again[0].last == AT + timedelta(seconds=2)


def test_a_flood_is_a_few_events_that_count_it_all() -> None:
    tally = Tally()
    for n in range(10_000):
        tally.note_failure(Call(request_id="r", at=AT, ip=f"2001:db8::{n:x}"), Why.UNKNOWN)
    told = []
    for second in range(0, 600, 2):
        told += tally.take_failures(AT + timedelta(seconds=second))
    assert sum(one.count for one in told) == 10_000
    assert len(told) <= 51


def test_failures_are_given_back_when_they_could_not_be_written() -> None:
    tally = Tally()
    for n in range(3):
        tally.note_failure(call(n), Why.REVOKED, ONE, TENANT)
    taken = tally.take_failures(AT)
    assert tally.take_failures(AT) == []
    tally.give_back(taken)
    tally.note_failure(call(9), Why.REVOKED, ONE, TENANT)
    (again,) = tally.take_failures(AT)
    assert (again.count, again.key_id, again.tenant_id) == (4, ONE, TENANT)
    assert again.call.request_id == "r0"


def test_no_flood_of_strangers_hides_a_key_that_exists() -> None:
    """Whoever found a key that was revoked may have a whole IPv6 network to make a noise from."""
    tally = Tally()
    told = []
    for second in range(0, 120, 2):
        for n in range(300):
            tally.note_failure(
                Call(request_id="r", at=AT, ip=f"2001:db8::{second:x}:{n:x}"), Why.UNKNOWN
            )
        if second == 60:
            tally.note_failure(call(), Why.REVOKED, ONE, TENANT)
        told += tally.take_failures(AT + timedelta(seconds=second))
    assert [(f.why, f.tenant_id) for f in told if f.key_id == ONE] == [(Why.REVOKED, TENANT)]


def test_no_minute_has_more_events_than_allowed() -> None:
    tally = Tally()
    times = []
    for second in range(300):
        now = AT + timedelta(seconds=second)
        for n in range(30):
            tally.note_failure(call(n), Why.UNKNOWN)
        times += [now] * len(tally.take_failures(now))
    for start in times:
        within = [t for t in times if start <= t < start + timedelta(minutes=1)]
        assert len(within) <= MOST_PER_MINUTE


def test_a_failure_keeps_its_first_request_and_its_key() -> None:
    tally = Tally()
    for n in range(5):
        tally.note_failure(call(n), Why.REVOKED, ONE)
    (failure,) = tally.take_failures(AT)
    assert (failure.call.request_id, failure.count, failure.key_id) == ("r0", 5, ONE)
