"""What time it is, at least, at the service.

Tokens and revocations live by the service's clock.  A host that is behind it would accept a token
after its end, when the feed has already dropped what was revoked; so the time used here is never
less than what the service's own answers prove.
"""

import time

STEP = 60.0
"""Seconds by which the service's time must have gone back before that is believed: several
instances may answer, and their clocks may differ by less."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Return seconds that only ever grow, those the host slept through included (Linux)."""
    return time.clock_gettime(_CLOCK)


class ServiceClock:
    """A time that is never behind what the service told, as far as that has been heard."""

    def __init__(self) -> None:
        self._offset = float("-inf")

    def now(self) -> float:
        """Return the time to hold against `exp`: the host's, or the proven one if it is later."""
        return max(time.time(), self.proven())

    def proven(self) -> float:
        """Return a time that the service's clock has certainly reached; -inf before any answer."""
        return monotonic() + self._offset

    def told(self, at: float | None, sent: float, received: float) -> bool:
        """Learn the time of an answer; tell whether the service's time has gone back.

        The answer was made after `sent`, and no later than `received` (both monotonic), and its
        time may be cut to the second: that bounds the service's time from both sides.
        """
        if at is None:
            return False
        latest = at + 1 + (received - sent)
        went_back = latest + STEP < received + self._offset
        offset = at - received
        self._offset = offset if went_back else max(self._offset, offset)
        return went_back
