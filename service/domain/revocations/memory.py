"""The revocations in force, in a worker's memory: a check is a few dictionary look-ups."""

import asyncio
import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from service.domain.revocations.model import Kind, Mark, Marks, Revocation
from service.kernel.refusal import Reason, Refused

MOST_WAITING = 100
"""How many long polls of one reader may wait in one worker."""


class Memory:
    """Revocations, by mark and in the order of `seq`."""

    def __init__(self) -> None:
        self.epoch = ""
        """The epoch that `seq` belongs to; empty before the table was read."""
        self.seq = 0
        """The `seq` of the newest entry: everything up to it is known."""
        self._by_mark: dict[Mark, Revocation] = {}
        self._order: list[int] = []
        self._by_seq: dict[int, Revocation] = {}
        self._expiry: list[tuple[float, int]] = []
        self._news = asyncio.Event()
        self._waiting: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_seq)

    def apply(self, entries: Iterable[Revocation], head: int) -> None:
        """Add entries, in order; afterwards everything up to `head` is known."""
        for entry in entries:
            if entry.seq <= self.seq:
                continue
            mark = entry.mark
            before = self._by_mark.get(mark)
            self._by_mark[mark] = entry if before is None else _both(before, entry)
            self._order.append(entry.seq)
            self._by_seq[entry.seq] = entry
            heapq.heappush(self._expiry, (entry.expires_at.timestamp(), entry.seq))
            self.seq = entry.seq
        self.seq = max(self.seq, head)
        self._news.set()
        self._news = asyncio.Event()

    def begin(self, epoch: str) -> None:
        """Forget everything.  The memory is not fresh until the table has been read again."""
        self.epoch = epoch
        self.seq = 0
        self._by_mark.clear()
        self._by_seq.clear()
        self._order.clear()
        self._expiry.clear()

    def find(self, marks: Marks) -> Revocation | None:
        """Return a revocation that applies to a token; None when there is none."""
        if not self._by_mark:
            return None
        for mark in marks.pairs():
            entry = self._by_mark.get(mark)
            if entry is not None and entry.hits(marks.iat):
                return entry
        return None

    def find_mark(self, kind: Kind, value: str) -> Revocation | None:
        """Return the revocation of this kind and value; None when there is none."""
        return self._by_mark.get((kind, value))

    def after(self, seq: int, most: int | None = None) -> list[Revocation]:
        """Return the entries newer than `seq`, in order, at most `most`."""
        start = bisect_right(self._order, seq)
        end = None if most is None else start + most
        return [self._by_seq[found] for found in self._order[start:end]]

    async def news(self, reader: str, seconds: float) -> None:
        """Wait for the next entry, for at most `seconds`.

        Refused(TOO_MANY) for a reader with MOST_WAITING polls here: each poll that waits takes one
        of the places that a worker has for requests.
        """
        if self._waiting[reader] >= MOST_WAITING:
            raise Refused(Reason.TOO_MANY, "too many polls are waiting", retry_after=1)
        self._waiting[reader] += 1
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= Counter((reader,))

    def prune(self, at: datetime) -> None:
        """Forget what has expired."""
        now = at.timestamp()
        gone: set[int] = set()
        while self._expiry and self._expiry[0][0] <= now:
            gone.add(heapq.heappop(self._expiry)[1])
        for seq in gone:
            entry = self._by_seq.pop(seq)
            mark = entry.mark
            held = self._by_mark.get(mark)
            if held is not None and held.expires_at.timestamp() <= now:
                del self._by_mark[mark]
        if gone:
            self._order = [seq for seq in self._order if seq not in gone]


def _both(before: Revocation, entry: Revocation) -> Revocation:
    """Join two revocations of one mark into one that applies to whatever either applies to.

    It takes the place (`seq`) of the newer one, and expires when both have expired.
    """
    if entry.cutoff is not None and before.cutoff is not None:
        later = entry if entry.cutoff >= before.cutoff else before
    else:
        later = entry if entry.expires_at >= before.expires_at else before
    return replace(later, seq=entry.seq, expires_at=max(before.expires_at, entry.expires_at))
