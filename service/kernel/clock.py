"""The one clock: monotonic time, set by the database's clock.

Nothing else in the service reads the time.  A step of the host's clock changes nothing here, and
all instances on one database agree on the time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

MAX_SKEW = timedelta(seconds=30)
"""Above this difference between the host's and the database's clock, /readyz reports it."""


def host_time() -> datetime:
    """Return the host's own time (UTC), for log lines: they are read beside those of others."""
    return datetime.now(UTC)


class Clock:
    """Returns UTC time.  Starts from the host's clock; `discipline` sets it to the database's."""

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()
        self._frozen: datetime | None = None
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        if self._frozen is not None:
            return self._frozen
        return datetime.fromtimestamp(self._epoch + time.monotonic(), UTC) + self._shift

    def monotonic(self) -> float:
        """Return seconds that never go back, to measure how long something took."""
        return time.monotonic()

    async def sleep_until(self, moment: float) -> None:
        """Sleep until `monotonic` returns `moment`; return at once when that is past."""
        await asyncio.sleep(max(0.0, moment - time.monotonic()))

    async def discipline(self, sample: Callable[[], Awaitable[datetime]]) -> None:
        """Set the clock to the database's: of three samples, the one with the shortest trip."""
        best: tuple[float, float] | None = None
        for _ in range(3):
            sent = time.monotonic()
            told = (await sample()).timestamp()
            back = time.monotonic()
            if best is None or back - sent < best[0]:
                best = (back - sent, told - (sent + back) / 2)
        if best is not None:
            self._epoch = best[1]

    def skew(self) -> timedelta:
        """How far the host's clock is from the database's (positive: the host is ahead)."""
        return timedelta(seconds=time.time() - (self._epoch + time.monotonic()))

    def freeze(self, at: datetime) -> None:
        """Stop at `at` (tests)."""
        self._frozen = at

    def advance(self, by: timedelta) -> None:
        """Move the clock forward by `by`, frozen or running (tests)."""
        if self._frozen is not None:
            self._frozen += by
        else:
            self._shift += by
