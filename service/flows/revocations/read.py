"""The revocation feed, and questions about single tokens, answered from fresh memory."""

from collections.abc import Sequence

from msgspec import Struct

from service.domain.revocations import Kind, Memory, Revocation
from service.flows.shared.permissions import Scope, require_scope
from service.kernel.call import ApiKey, Call, Machine
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

LONGEST_WAIT = 25.0
"""The longest time that a long poll may wait, in seconds."""

MOST = 5_000
"""The largest number of entries on a page."""


class Page(Struct, frozen=True):
    """Entries in the order of commits, and the cursor for the next page with its epoch."""

    entries: list[Revocation]
    next: int
    has_more: bool
    epoch: str


async def read_feed(rt: Runtime, call: Call, after: int | None, *, wait: float, limit: int) -> Page:
    """Return the entries newer than a cursor; wait up to `wait` seconds until there is one.

    Without a cursor, return everything in force.  A reader of one organization gets the entries of
    that organization and those that apply to all.  Refused: INVALID_REQUEST for a cursor from the
    future; TOO_MANY for too many waiting polls of this reader; UNAVAILABLE when this worker's
    memory is not fresh.
    """
    reader = require_scope(call, Scope.READ_REVOCATIONS)
    if after is not None and not await rt.revocations.catch_up_to(after):
        raise Refused(Reason.INVALID_REQUEST, "this cursor is from the future", fields=("after",))
    deadline = rt.clock.monotonic() + min(wait, LONGEST_WAIT)
    while True:
        memory = await rt.revocations.current()  # after the wait, answer from fresh memory again
        page = _page(memory, reader, after or 0, min(limit, MOST))
        left = deadline - rt.clock.monotonic()
        if page.entries or page.has_more or left <= 0:
            return page
        await memory.news(reader.actor_id, left)


async def find_jti(rt: Runtime, call: Call, jti: str) -> Revocation | None:
    """Return the revocation of one token by its `jti`; None when there is none."""
    reader = require_scope(call, Scope.READ_REVOCATIONS)
    return _find(await rt.revocations.current(), reader, jti)


async def find_revoked(rt: Runtime, call: Call, jtis: Sequence[str]) -> list[str]:
    """Return which of these `jti` are revoked."""
    reader = require_scope(call, Scope.READ_REVOCATIONS)
    memory = await rt.revocations.current()
    return [jti for jti in jtis if _find(memory, reader, jti) is not None]


def _find(memory: Memory, reader: Machine | ApiKey, jti: str) -> Revocation | None:
    entry = memory.find_mark(Kind.JTI, jti)
    return entry if entry is not None and _concerns(entry, reader) else None


def _page(memory: Memory, reader: Machine | ApiKey, after: int, most: int) -> Page:
    head = memory.seq
    found = memory.after(after, most)
    has_more = len(found) == most
    reached = found[-1].seq if has_more else max(head, after)
    told = [entry for entry in found if _concerns(entry, reader)]
    return Page(told, reached, has_more, memory.epoch)


def _concerns(entry: Revocation, reader: Machine | ApiKey) -> bool:
    return reader.tenant_id is None or entry.tenant_id in (None, reader.tenant_id)
