"""Statements on auth_eventos."""

from datetime import datetime

import msgspec
from msgspec import Struct

from service.domain.audit.events import Event
from service.kernel import ids
from service.kernel.call import Call, Person
from service.kernel.sql import Queries, Tx, Writes


class _Made(Struct, frozen=True):
    made: int


queries = Queries("audit")
_insert = queries.command("insert")
_make_partitions = queries.rows("make_partitions", _Made)

_COLUMNS = frozenset({"type", "tenant_id", "user_id", "session_id"})


async def record(tx: Writes, call: Call, event: Event) -> None:
    """Write an event, in the transaction of the state it describes.

    That it is a crossing is nothing a flow could forget to say.
    """
    told = msgspec.to_builtins(event)
    detail = {name: value for name, value in told.items() if name not in _COLUMNS}
    if isinstance(call.actor, Person) and call.actor.crosses(event.tenant_id):
        detail["crossing_from"] = str(call.actor.tenant_id)
    await _insert.run(
        tx,
        event_id=ids.new(call.at),
        occurred_at=call.at,
        tenant_id=event.tenant_id,
        actor_kind=call.actor.kind,
        actor_id=call.actor.actor_id,
        user_id=event.user_id,
        session_id=event.session_id,
        event_type=told["type"],
        ip=call.ip,
        user_agent=call.user_agent,
        detail=msgspec.json.encode(detail).decode(),
        request_id=call.request_id,
    )


async def make_partitions(tx: Tx, first: datetime, months: int) -> int:
    """Make the partitions of `months` months from `first` on; return how many were missing."""
    return (await _make_partitions.one(tx, first=first, months=months)).made
