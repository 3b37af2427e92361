"""Statements on auth_eventos."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from service.domain.audit.events import Event
from service.kernel import ids
from service.kernel.call import Call, Machine, Person
from service.kernel.sql import Queries, Tx, Writes


class _Made(Struct, frozen=True):
    made: int


queries = Queries("audit")
_insert = queries.command("insert")
_insert_many = queries.command("insert_many")
_make_partitions = queries.rows("make_partitions", _Made)

_COLUMNS = frozenset({"type", "tenant_id", "user_id", "session_id"})


async def record(tx: Writes, call: Call, event: Event) -> None:
    """Write an event, in the transaction of the state that it describes.

    Lock order: a transaction locks its rows first and records events afterwards; only the counter
    of revocations is locked later.  An event takes a lock that the erasure of its person waits for.
    """
    event_type, detail = _told(call, event)
    await _insert.run(
        tx,
        event_id=ids.new(call.at),
        occurred_at=call.at,
        tenant_id=event.tenant_id,
        actor_kind=call.actor.kind,
        actor_id=call.actor.actor_id,
        user_id=event.user_id,
        session_id=event.session_id,
        event_type=event_type,
        ip=call.ip,
        user_agent=call.user_agent,
        detail=detail,
        request_id=call.request_id,
    )


async def record_all(tx: Tx, call: Call, events: Sequence[Event]) -> None:
    """Write the events of one act in their order, in one round trip.  See `record`."""
    if not events:
        return
    told = [_told(call, event) for event in events]
    await _insert_many.run(
        tx,
        event_ids=[ids.new(call.at) for _ in events],
        occurred_at=call.at,
        tenant_ids=[event.tenant_id for event in events],
        actor_kind=call.actor.kind,
        actor_id=call.actor.actor_id,
        user_ids=[event.user_id for event in events],
        session_ids=[event.session_id for event in events],
        event_types=[event_type for event_type, _ in told],
        ip=call.ip,
        user_agent=call.user_agent,
        details=[detail for _, detail in told],
        request_id=call.request_id,
    )


def _told(call: Call, event: Event) -> tuple[str, str]:
    """Return the event's type and its detail as JSON.

    `crossing_from` is added here, so that no flow can forget it.
    """
    told: dict[str, Any] = msgspec.to_builtins(event)
    detail = {name: value for name, value in told.items() if name not in _COLUMNS}
    actor = call.actor
    if isinstance(actor, (Person, Machine)) and actor.crosses(event.tenant_id):
        detail["crossing_from"] = str(actor.tenant_id or "platform")
    return told["type"], msgspec.json.encode(detail).decode()


async def make_partitions(tx: Tx, first: datetime, months: int) -> int:
    """Make partitions for `months` months from `first` on; return how many were missing."""
    return (await _make_partitions.one(tx, first=first, months=months)).made
