"""The rules for locking an account.

An attempt takes a place before the password is hashed.  There are as many places as failures are
still allowed, so parallel guesses gain nothing.  Only an attempt whose password was found wrong is
a failure.  An attempt without a verdict keeps its place for as long as an attempt can take, and
then counts for nothing; a verdict that comes later is not used.

All unknown devices of an account share one counter.  Each device from which the account has signed
in before has its own, so that a stranger who locks the account does not lock out its owner (OWASP
ASVS 6.1.1).
"""

from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from msgspec import Struct

from service.kernel import ids
from service.kernel.mac import hmac_sha256

ANY_DEVICE = UUID(int=0)

_HELD = timedelta(seconds=15)
"""How long an attempt without a verdict keeps its place.  It is the sum of 2 s in the queue for
hashing, 3 s for a connection and 10 s for a statement.  If its worker or PostgreSQL died, that is
not a failure."""


class Rules(Struct, frozen=True):
    """This many `failures` within `window` lock the account for `duration`."""

    failures: int
    window: timedelta
    duration: timedelta


class Admission(Enum):
    """Whether an attempt may go on, before its password is checked."""

    ADMITTED = "admitted"
    LOCKED = "locked"
    CROWDED = "crowded"
    """All places are taken by attempts without a verdict: try again later."""


class Outcome(Enum):
    """The effect of a wrong password."""

    COUNTED = "counted"
    LOCKED = "locked"
    """It was the last failure allowed: the account is now locked."""
    LAPSED = "lapsed"
    """The attempt had lost its place: it counts for nothing, and its verdict is not used."""


class Strikes(Struct, frozen=True):
    """The counter of an account and a device: failures, the oldest first, and open attempts.

    An attempt's id is a UUIDv7, which holds the time at which it began.
    """

    attempts: tuple[datetime, ...] = ()
    under_way: tuple[UUID, ...] = ()
    locked_until: datetime | None = None

    def locked(self, at: datetime) -> bool:
        """Whether the account is locked."""
        return self.locked_until is not None and at < self.locked_until

    def admission(self, at: datetime, rules: Rules) -> Admission:
        """Return whether one more attempt is admitted."""
        left = rules.failures - len(self._failed(at, rules))
        if self.locked(at) or left <= 0:  # none left: the policy now allows fewer failures
            return Admission.LOCKED
        return Admission.ADMITTED if len(self._held(at)) < left else Admission.CROWDED

    def reserve(self, attempt_id: UUID, at: datetime, rules: Rules) -> "Strikes | None":
        """Give one more attempt a place; None when that is refused, which extends no lock.

        Attempts that have taken too long lose their places here, and nowhere else.
        """
        if self.admission(at, rules) is not Admission.ADMITTED:
            return None
        return Strikes(self._failed(at, rules), (*self._held(at), attempt_id))

    def fail(self, attempt_id: UUID, at: datetime, rules: Rules) -> "Strikes | None":
        """Count an attempt as a failure; the last one allowed locks the account.

        None when the attempt has lost its place: then nothing changes.
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
    """Return a stable id for an unknown e-mail, so that unknown accounts are locked like others."""
    return UUID(bytes=hmac_sha256(key, email.encode())[:16])
