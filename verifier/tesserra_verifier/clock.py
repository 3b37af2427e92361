"""What time it is, at least, at the service.

Tokens and revocations live by the service's clock.  A host that is behind it would accept a token
after its end, when the feed has already dropped what was revoked; so the time used here is never
less than what the service's own answers prove.
"""

import time
from email.utils import parsedate_to_datetime

STEP = 60.0
"""Seconds by which the service's time must have gone back before that is believed: several
instances may answer, and their clocks may differ by less."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Return seconds that only ever grow, those the host slept through included (Linux)."""
    return time.clock_gettime(_CLOCK)


class ServiceClock:
    """A time that is never behind the service's `Date`, as far as that has been seen."""

    def __init__(self) -> None:
        self._offset = float("-inf")

    def now(self) -> float:
        """Return the time to hold against `exp`: the host's, or the proven one if it is later."""
        return max(time.time(), self.proven())

    def proven(self) -> float:
        """Return a time that the service's clock has certainly reached; -inf before any answer."""
        return monotonic() + self._offset

    def told(self, date: str | None, sent: float, received: float) -> bool:
        """Learn from the Date of an answer; tell whether the service's time has gone back.

        The answer was made after `sent`, and no later than `received` (both monotonic), and its
        Date is cut to the second: that bounds the service's time from both sides.
        """
        try:
            at = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return False
        latest = at + 1 + (received - sent)
        went_back = latest + STEP < received + self._offset
        offset = at - received
        self._offset = offset if went_back else max(self._offset, offset)
        return went_back
