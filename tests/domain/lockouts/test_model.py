"""Strikes: however attempts overlap, no more are evaluated than the rules allow."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain.lockouts import Rules, Strikes, phantom

AT = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = Rules(failures=5, window=15 * MINUTE, duration=15 * MINUTE)
NONE = Strikes((), None)


class Guessing(RuleBasedStateMachine):
    """Someone guesses, in parallel and at every pace, and never knows the password."""

    def __init__(self) -> None:
        super().__init__()
        self.now = AT
        self.strikes = NONE
        self.hashing: list[datetime] = []
        self.evaluated: list[datetime] = []
        self.refused = self.admitted = 0

    @rule()
    def guess(self) -> None:
        admitted = self.strikes.reserve(self.now, RULES)
        if admitted is None:
            return
        self.strikes = admitted
        self.hashing.append(self.now)
        self.evaluated.append(self.now)

    @precondition(lambda self: self.hashing)
    @rule(data=st.data())
    def find_it_wrong(self, data: st.DataObject) -> None:
        reserved = self.hashing.pop(data.draw(st.integers(0, len(self.hashing) - 1)))
        self.strikes = self.strikes.fail(self.now, reserved, RULES)

    @precondition(lambda self: self.hashing)
    @rule(data=st.data())
    def shed_it(self, data: st.DataObject) -> None:
        """The hashing queue was full: the attempt is given back, and was no guess."""
        reserved = self.hashing.pop(data.draw(st.integers(0, len(self.hashing) - 1)))
        self.evaluated.remove(reserved)
        self.strikes = self.strikes.release(reserved)

    @rule(seconds=st.sampled_from([0, 1, 30, 299, 899, 900, 901, 1800]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def never_more_than_five_in_any_window(self) -> None:
        for start in self.evaluated:
            within = [at for at in self.evaluated if start <= at < start + RULES.window]
            assert len(within) <= RULES.failures, within

    @invariant()
    def the_row_stays_small(self) -> None:
        assert len(self.strikes.attempts) <= RULES.failures


TestGuessing = Guessing.TestCase


def struck(times: int, at: datetime = AT) -> Strikes:
    strikes = NONE
    for _ in range(times):
        admitted = strikes.reserve(at, RULES)
        assert admitted
        strikes = admitted.fail(at, at, RULES)
    return strikes


def test_the_fifth_failure_locks_for_exactly_the_duration() -> None:
    assert not struck(4).locked(AT)
    locked = struck(5)
    assert locked.locked(AT)
    assert locked.locked(AT + RULES.duration - timedelta(microseconds=1))
    assert not locked.locked(AT + RULES.duration)
    assert locked.reserve(AT + RULES.duration, RULES) is not None


@given(st.lists(st.timedeltas(timedelta(), 20 * MINUTE), max_size=30))
def test_attempts_during_a_lock_do_not_extend_it(after: list[timedelta]) -> None:
    strikes = struck(5)
    until = strikes.locked_until
    for moment in sorted(AT + wait for wait in after):
        if moment < AT + RULES.duration:
            assert strikes.reserve(moment, RULES) is None
            strikes = strikes.fail(moment, moment, RULES)
    assert strikes.locked_until == until


def test_a_failure_older_than_the_window_no_longer_counts() -> None:
    strikes = struck(4)
    later = AT + RULES.window
    admitted = strikes.reserve(later, RULES)
    assert admitted is not None
    assert not admitted.fail(later, later, RULES).locked(later)


def test_the_sixth_is_refused_while_five_are_still_being_hashed() -> None:
    strikes = NONE
    for _ in range(5):
        admitted = strikes.reserve(AT, RULES)
        assert admitted
        strikes = admitted
    assert strikes.reserve(AT, RULES) is None


def test_a_failure_counts_although_a_success_cleared_the_counter_meanwhile() -> None:
    assert NONE.fail(AT, AT, RULES).attempts == (AT,)


def test_a_phantom_is_the_same_for_one_address_and_none_other_and_needs_the_key() -> None:
    assert phantom(b"k", "a@x") == phantom(b"k", "a@x")
    assert len({phantom(b"k", "a@x"), phantom(b"k", "b@x"), phantom(b"l", "a@x"), UUID(int=0)}) == 4
