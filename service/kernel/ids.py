"""Identifiers: UUIDv7 (RFC 9562 section 5.7), one type per thing.  Never a secret."""

import os
from datetime import datetime
from typing import NewType
from uuid import UUID

from asyncpg.pgproto import pgproto

TenantId = NewType("TenantId", UUID)
"""The organization a thing belongs to; `tenant_id` on the wire."""

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
DeviceId = NewType("DeviceId", UUID)
EventId = NewType("EventId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)


_DRAWN_AT_ONCE = 4096
_LAST = 2**128 - 1

_last = (0, 0)
_drawn = b""


def _draw(count: int) -> bytes:
    """Return random bytes from a stock that is drawn in advance.

    A system call releases the interpreter lock, and under load getting it back costs more than the
    rest of an id.
    """
    global _drawn  # noqa: PLW0603 - a stock
    if len(_drawn) < count:
        _drawn = os.urandom(_DRAWN_AT_ONCE)
    taken, _drawn = _drawn[:count], _drawn[count:]
    return taken


def _begin_anew() -> None:
    """Empty the stock in a forked process: it must not use the bytes that its parent uses."""
    global _drawn  # noqa: PLW0603 - as above
    _drawn = b""


os.register_at_fork(after_in_child=_begin_anew)


def of_request() -> str:
    """Make a request's id: 32 hexadecimal digits."""
    return _draw(16).hex()


def new(at: datetime) -> UUID:
    """Make an id that sorts by `at`, so that keyset pages follow time.

    Ids that one process makes for the same moment sort in the order in which they were made.  So
    the events of one decision keep their order (RFC 9562 section 6.2: the fraction of the
    millisecond in `rand_a`, a growing `rand_b`).
    """
    global _last  # noqa: PLW0603 - the order of one process
    milliseconds = _milliseconds(at)
    fraction = at.microsecond % 1000 * 4096 // 1000
    head = milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62
    drawn = int.from_bytes(_draw(8))
    tail = _last[1] + 1 + (drawn >> 32) if head == _last[0] else drawn >> 3
    _last = (head, tail)
    return pgproto.UUID((head | tail).to_bytes(16))


def span(first: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """Return two ids that enclose every id made from `first` on and before `until`.

    The bounds are exact to the millisecond only: a few ids from just outside may lie between them.
    None means no bound on that side.
    """
    least = 0 if first is None else max(0, _milliseconds(first)) << 80
    most = _LAST if until is None else max(0, _milliseconds(until) + 1) << 80
    return pgproto.UUID(least.to_bytes(16)), pgproto.UUID(most.to_bytes(16))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def read(text: str) -> UUID:
    """Parse an id.  ValueError when it is not a UUID.

    Returns the database driver's UUID, a subclass of Python's that is parsed and written ten times
    as fast.  Every id that comes from the database is one, too.
    """
    return pgproto.UUID(text)
