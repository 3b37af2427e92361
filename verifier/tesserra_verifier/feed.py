"""Keeps the known revocations current, and knows how old they are.

An answer of the feed proves that the revocations were complete at the moment *before its request
was sent*, and not at a later one: the service may decide a long poll at any moment in between.  So
polls are short compared to the bound.  A new revocation still ends a poll at once.
"""

import asyncio
from collections.abc import Callable

from tesserra_verifier.clock import ServiceClock, monotonic
from tesserra_verifier.remote import CursorError, Entry, Remote
from tesserra_verifier.revoked import Revoked

_PRUNE_SECONDS = 30.0
_TOO_SOON = 0.25
_BREATH = 500


class Feed:
    """Follows /revocations by cursor."""

    def __init__(
        self,
        remote: Remote,
        clock: ServiceClock,
        *,
        wait: int,
        page: int,
        leeway: float,
        heard: Callable[[Entry], None],
    ) -> None:
        self.revoked = Revoked()
        self._remote = remote
        self._clock = clock
        self._wait = wait
        self._page = page
        self._leeway = leeway
        self._heard = heard
        self._after: int | None = None
        self._epoch: str | None = None
        """The epoch of `_after`."""
        self._fresh_as_of = float("-inf")
        self._pruned = monotonic()
        self.loaded = asyncio.Event()

    def staleness(self) -> float:
        """Seconds since the known revocations were certainly complete; inf before a load."""
        return monotonic() - self._fresh_as_of

    async def follow(self) -> None:
        """Read one page and apply it.  RemoteError without an answer."""
        # the quickest answer is the best proof: after a gap, and before each wait
        wait = self._wait if self.staleness() < self._wait else 0
        try:
            page = await self._remote.revocations(self._after, wait, self._page)
        except CursorError:
            # the service's table is not the one we read: all of it again, on top of what we know
            self._after = None
            raise
        resumed = self._after is not None
        for number, entry in enumerate(page.entries):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # a long page must not hold up the requests being served
            self.revoked.add(
                entry.kind, entry.value, entry.cutoff, entry.expires_at, entry.tenant_id
            )
            self._heard(entry)
        self._after = page.next
        if self._clock.told(page.now, page.sent, page.received):
            # what we pruned may be in force again at that earlier time
            self._after = None
            self._fresh_as_of = float("-inf")
            return
        epoch, self._epoch = self._epoch, page.epoch
        if resumed and page.epoch != epoch:
            # a table that was restored counts anew, and what we missed may lie before our cursor
            self._after = None
            return
        if not page.has_more:
            self._fresh_as_of = max(self._fresh_as_of, page.sent)
            self.loaded.set()
        self._prune()
        if not page.entries and page.received - page.sent < min(_TOO_SOON, wait):
            await asyncio.sleep(_TOO_SOON)  # asked to wait and did not

    def _prune(self) -> None:
        if monotonic() - self._pruned > _PRUNE_SECONDS:
            # by proven time alone, and after the leeway: the tokens have expired here as well
            self.revoked.prune(self._clock.proven() - self._leeway)
            self._pruned = monotonic()
