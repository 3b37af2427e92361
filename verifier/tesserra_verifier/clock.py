"""A lower bound of the service's time.

Tokens and revocations expire by the service's clock.  A host whose clock is behind would accept
expired tokens, when the feed has already dropped their revocations.  So the time used here is never
earlier than what the service's own answers prove.
"""

import time

STEP = 60.0
"""How many seconds the service's time must go back before that is believed.  Several instances may
answer, and their clocks may differ by less."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Return seconds that never go back, and that count while the host sleeps (Linux)."""
    return time.clock_gettime(_CLOCK)


class ServiceClock:
    """A clock that is never behind the time that the service's answers prove."""

    def __init__(self) -> None:
        self._offset = float("-inf")

    def now(self) -> float:
        """Return the time to compare with `exp`: the host's, or the proven one if it is later."""
        return max(time.time(), self.proven())

    def proven(self) -> float:
        """Return a time that the service's clock has certainly reached; -inf before any answer."""
        return monotonic() + self._offset

    def told(self, at: float | None, sent: float, received: float) -> bool:
        """Learn the time of an answer; return whether the service's time has gone back.

        The answer was made after `sent` and not later than `received` (both monotonic).  Its time
        may be rounded down to the second.  That bounds the service's time on both sides.
        """
        if at is None:
            return False
        latest = at + 1 + (received - sent)
        went_back = latest + STEP < received + self._offset
        offset = at - received
        self._offset = offset if went_back else max(self._offset, offset)
        return went_back
