"""When an account is locked.

An attempt is reserved before the password is hashed, so that parallel guesses buy nothing: no more
are under way than may still fail.  Only an attempt that was judged wrong is a failure.  One that is
not judged holds its place for as long as an attempt can take, and then counts for nothing; its
verdict, should it still come, is told to nobody.  All devices the account has never signed in from
share one counter; each known device has its own, so that a stranger who locks the account does not
lock its owner out (OWASP ASVS 6.1.1).
"""

from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from msgspec import Struct

from service.kernel import ids
from service.kernel.mac import hmac_sha256

ANY_DEVICE = UUID(int=0)

_HELD = timedelta(seconds=15)
"""How long an attempt that is not judged keeps its place: two seconds in the queue for hashing,
three for a connection, ten for a statement.  What killed its worker or PostgreSQL is no failure."""


class Rules(Struct, frozen=True):
    """`failures` in `window` lock for `duration`."""

    failures: int
    window: timedelta
    duration: timedelta


class Admission(Enum):
    """What an attempt is told before its password is looked at."""

    ADMITTED = "admitted"
    LOCKED = "locked"
    CROWDED = "crowded"
    """As many are under way as may still fail: come again when they are judged."""


class Outcome(Enum):
    """What became of an attempt whose password is wrong."""

    COUNTED = "counted"
    LOCKED = "locked"
    """It was the last one allowed."""
    LAPSED = "lapsed"
    """It had lost its place: it counts for nothing, and nobody is told what it found."""


class Strikes(Struct, frozen=True):
    """What is held against an account on a device: failures, oldest first, and attempts under way.

    The id of an attempt is a UUIDv7: it says since when it is under way.
    """

    attempts: tuple[datetime, ...] = ()
    under_way: tuple[UUID, ...] = ()
    locked_until: datetime | None = None

    def locked(self, at: datetime) -> bool:
        """Tell whether the account is locked."""
        return self.locked_until is not None and at < self.locked_until

    def admission(self, at: datetime, rules: Rules) -> Admission:
        """Tell whether one more attempt is admitted."""
        left = rules.failures - len(self._failed(at, rules))
        if self.locked(at) or left <= 0:  # none is left: fewer are allowed than when they failed
            return Admission.LOCKED
        return Admission.ADMITTED if len(self._held(at)) < left else Admission.CROWDED

    def reserve(self, attempt_id: UUID, at: datetime, rules: Rules) -> "Strikes | None":
        """Admit one more attempt, or None; a refused one changes nothing and extends no lock.

        Attempts that are overdue lose their places here, and nowhere else.
        """
        if self.admission(at, rules) is not Admission.ADMITTED:
            return None
        return Strikes(self._failed(at, rules), (*self._held(at), attempt_id))

    def fail(self, attempt_id: UUID, at: datetime, rules: Rules) -> "Strikes | None":
        """Hold an attempt against the account; the last one allowed locks it.

        None, and nothing changes, when it has lost its place.
        """
        if attempt_id not in self.under_way:
            return None
        failed = (*self._failed(at, rules), at)
        if len(failed) >= rules.failures:
            return Strikes(locked_until=at + rules.duration)
        left = tuple(one for one in self.under_way if one != attempt_id)
        return Strikes(failed, left)

    def _failed(self, at: datetime, rules: Rules) -> tuple[datetime, ...]:
        return tuple(a for a in self.attempts if a > at - rules.window)

    def _held(self, at: datetime) -> tuple[UUID, ...]:
        oldest, _ = ids.span(at - _HELD, None)
        return tuple(one for one in self.under_way if one >= oldest)


def phantom(key: bytes, email: str) -> UUID:
    """Name the account that does not exist: the same lockout as one that does, no way to tell."""
    return UUID(bytes=hmac_sha256(key, email.encode())[:16])
