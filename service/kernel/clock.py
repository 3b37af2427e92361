"""The one clock: monotonic time, disciplined by the database.

Nothing else in the service asks the time.  A host clock that is stepped changes nothing here, and
every instance on one database agrees on what time it is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

MAX_SKEW = timedelta(seconds=30)
"""More than this between host and database, and /readyz says so."""


def host_time() -> datetime:
    """Return the host's own time (UTC): for log lines, which are read beside other programs'."""
    return datetime.now(UTC)


class Clock:
    """Tells UTC time.  Starts from the host's clock; `discipline` moves it to the database's."""

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
        """Return seconds that only ever grow, for measuring how long something took."""
        return time.monotonic()

    async def sleep_until(self, moment: float) -> None:
        """Sleep until `monotonic` says `moment`; not at all when it is past."""
        await asyncio.sleep(max(0.0, moment - time.monotonic()))

    async def discipline(self, sample: Callable[[], Awaitable[datetime]]) -> None:
        """Take the database's time; of three samples the shortest round trip counts."""
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
        """Move on by `by`, frozen or running (tests)."""
        if self._frozen is not None:
            self._frozen += by
        else:
            self._shift += by
