"""Strikes: however attempts overlap, no more are evaluated than the rules allow."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain.lockouts import Admission, Rules, Strikes, phantom
from service.kernel import ids

AT = datetime(2030, 1, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RULES = Rules(failures=5, window=15 * MINUTE, duration=15 * MINUTE)
NONE = Strikes()
HELD = 15 * SECOND


class Guessing(RuleBasedStateMachine):
    """Someone guesses, in parallel and at every pace, and never knows the password."""

    def __init__(self) -> None:
        super().__init__()
        self.now = AT
        self.strikes = NONE
        self.hashing: list[tuple[UUID, datetime]] = []
        self.judged: list[datetime] = []

    @rule()
    def guess(self) -> None:
        attempt = ids.new(self.now)
        admitted = self.strikes.reserve(attempt, self.now, RULES)
        allowed = self.strikes.admission(self.now, RULES) is Admission.ADMITTED
        assert (admitted is not None) == allowed
        if admitted is None:
            return
        self.strikes = admitted
        self.hashing.append((attempt, self.now))

    @precondition(lambda self: self.hashing)
    @rule(data=st.data())
    def find_it_wrong(self, data: st.DataObject) -> None:
        """However late: what has lost its place is not judged, and told to nobody."""
        attempt, asked = self.hashing.pop(data.draw(st.integers(0, len(self.hashing) - 1)))
        failed = self.strikes.fail(attempt, asked, RULES)
        if failed is not None:
            self.strikes = failed
            self.judged.append(asked)

    @precondition(lambda self: self.hashing)
    @rule(data=st.data())
    def never_decide_it(self, data: st.DataObject) -> None:
        """The worker was killed, or PostgreSQL lost: nothing was told, and nothing given back."""
        self.hashing.pop(data.draw(st.integers(0, len(self.hashing) - 1)))

    @rule(seconds=st.sampled_from([0, 1, 14, 16, 30, 299, 899, 900, 901, 1800]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def never_more_than_five_in_any_window(self) -> None:
        for start in self.judged:
            within = [at for at in self.judged if start <= at < start + RULES.window]
            assert len(within) <= RULES.failures, within

    @invariant()
    def what_was_not_judged_counts_for_nothing(self) -> None:
        """Once no attempt can be under way any more, as many may fail as if there had been none."""
        later = self.now + HELD + SECOND
        failed = [at for at in self.strikes.attempts if at > later - RULES.window]
        assert set(failed) <= set(self.judged)
        if not self.strikes.locked(later):
            assert self.strikes.admission(later, RULES) is Admission.ADMITTED

    @invariant()
    def the_row_stays_small(self) -> None:
        assert len(self.strikes.attempts) + len(self.strikes.under_way) <= RULES.failures


TestGuessing = Guessing.TestCase


def one(strikes: Strikes, at: datetime = AT) -> tuple[Strikes, UUID]:
    attempt = ids.new(at)
    admitted = strikes.reserve(attempt, at, RULES)
    assert admitted
    return admitted, attempt


def failed(strikes: Strikes, attempt: UUID, at: datetime = AT) -> Strikes:
    after = strikes.fail(attempt, at, RULES)
    assert after
    return after


def struck(times: int, at: datetime = AT) -> Strikes:
    strikes = NONE
    for _ in range(times):
        strikes = failed(*one(strikes, at), at)
    return strikes


def test_the_fifth_failure_locks_for_exactly_the_duration() -> None:
    assert not struck(4).locked(AT)
    locked = struck(5)
    assert locked.locked(AT)
    assert locked.locked(AT + RULES.duration - timedelta(microseconds=1))
    assert not locked.locked(AT + RULES.duration)
    one(locked, AT + RULES.duration)


@given(st.lists(st.timedeltas(timedelta(), 20 * MINUTE), max_size=30))
def test_attempts_during_a_lock_do_not_extend_it(after: list[timedelta]) -> None:
    strikes = struck(5)
    for moment in sorted(AT + wait for wait in after):
        if moment < AT + RULES.duration:
            attempt = ids.new(moment)
            assert strikes.reserve(attempt, moment, RULES) is None
            assert strikes.fail(attempt, moment, RULES) is None
            assert strikes.admission(moment, RULES) is Admission.LOCKED


def test_a_failure_older_than_the_window_no_longer_counts() -> None:
    later = AT + RULES.window
    assert not failed(*one(struck(4), later), later).locked(later)


def test_the_sixth_waits_while_five_are_still_being_hashed() -> None:
    strikes, under_way = NONE, []
    for _ in range(5):
        strikes, attempt = one(strikes)
        under_way.append(attempt)
    assert strikes.admission(AT, RULES) is Admission.CROWDED
    for attempt in under_way:
        strikes = failed(strikes, attempt)
    assert strikes.admission(AT, RULES) is Admission.LOCKED


def test_an_attempt_that_is_never_judged_holds_its_place_for_so_long_and_counts_for_nothing() -> (
    None
):
    strikes = struck(4)
    strikes, lost = one(strikes)
    assert strikes.admission(AT + HELD, RULES) is Admission.CROWDED
    later = AT + HELD + SECOND
    strikes, other = one(strikes, later)
    assert strikes.fail(lost, later, RULES) is None  # too late: nobody is told what it found
    assert failed(strikes, other, later).locked(later)


def test_a_slow_attempt_is_judged_as_long_as_nobody_wants_its_place() -> None:
    strikes, slow = one(struck(4))
    assert failed(strikes, slow, AT).locked(AT + MINUTE)


def test_where_fewer_may_fail_than_have_the_account_is_locked() -> None:
    many = Strikes(attempts=(AT,) * 7)
    assert many.admission(AT, RULES) is Admission.LOCKED


def test_a_phantom_is_the_same_for_one_address_and_none_other_and_needs_the_key() -> None:
    assert phantom(b"k", "a@x") == phantom(b"k", "a@x")
    assert len({phantom(b"k", "a@x"), phantom(b"k", "b@x"), phantom(b"l", "a@x"), UUID(int=0)}) == 4
