"""Reads the trail, and removes what retention and erasure remove."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from service.domain.audit.store import queries
from service.kernel import ids
from service.kernel.ids import EventId, SessionId, TenantId, UserId
from service.kernel.sql import Rows, Tx


class Entry(Struct, frozen=True, kw_only=True):
    """A recorded event.  `detail` is JSON."""

    event_id: EventId
    occurred_at: datetime
    tenant_id: TenantId | None
    actor_kind: str
    actor_id: str | None
    user_id: UserId | None
    session_id: SessionId | None
    event_type: str
    ip: str | None
    user_agent: str
    detail: str
    request_id: str


class Filter(Struct, frozen=True, kw_only=True):
    """Selects events from `first` on and before `until` that match all other given fields."""

    first: datetime | None = None
    until: datetime | None = None
    event_type: str | None = None
    user_id: UserId | None = None
    session_id: SessionId | None = None
    address: str | None = None
    request_id: str | None = None


class Line(Struct, frozen=True):
    """An event as a line of JSON; None when the filter leaves it out."""

    event_id: EventId
    occurred_at: datetime
    line: str | None


class _At(Struct, frozen=True):
    at: datetime | None


class _Name(Struct, frozen=True):
    name: str


class _Found(Struct, frozen=True):
    found: bool


class _Held(Struct, frozen=True):
    held: bool


class _Dropped(Struct, frozen=True):
    dropped: int


class _Chain(Struct, frozen=True):
    chain_id: UUID


class _Count(Struct, frozen=True):
    events: int


_page = queries.rows("page", Entry)
_page_by = {  # filters that usually match few events come first
    "request_id": queries.rows("page_by_request", Entry),
    "session_id": queries.rows("page_by_session", Entry),
    "user_id": queries.rows("page_by_user", Entry),
    "address": queries.rows("page_by_address", Entry),
    "event_type": queries.rows("page_by_type", Entry),
}
_count_by = {
    "request_id": queries.rows("count_by_request", _Count),
    "session_id": queries.rows("count_by_session", _Count),
    "user_id": queries.rows("count_by_user", _Count),
    "address": queries.rows("count_by_address", _Count),
    "event_type": queries.rows("count_by_type", _Count),
}
_COMMON = 1000
"""A filter that matches this many events is common: counting stops there."""

_export_page = queries.rows("export_page", Line)
_export_member_page = queries.rows("export_member_page", Line)
_find_oldest = queries.rows("find_oldest", _At)
_list_months = queries.rows("list_months", _Name)
_lock_months = queries.command("lock_months")
_keep_months = queries.rows("keep_months", _Held)
_change_months = queries.rows("change_months", _Held)
_has_unsealed = queries.rows("has_unsealed", _Found)
_drop_months = queries.rows("drop_months", _Dropped)
_erase = queries.rows("erase", _Chain)

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)


async def read_page(
    tx: Tx, chain_id: UUID, wanted: Filter, before: UUID | None, most: int
) -> list[Entry]:
    """Return a page of a chain's events older than `before`, the newest first."""
    after, newest = ids.span(wanted.first, wanted.until)
    before = min(before or newest, newest)
    statement = await leading(tx, chain_id, wanted, after, before)
    return await statement.all(
        tx,
        chain_id=chain_id,
        after=after,
        before=before,
        first=wanted.first or _BEGINNING,
        until=wanted.until or _END,
        most=most,
        event_type=wanted.event_type,
        user_id=wanted.user_id,
        session_id=wanted.session_id,
        address=wanted.address,
        request_id=wanted.request_id,
    )


async def leading(tx: Tx, chain_id: UUID, wanted: Filter, after: UUID, before: UUID) -> Rows[Entry]:
    """Return the page statement that searches by the given filter with few matches.

    With several filters, the first one that matches fewer than _COMMON events is used.  When all
    match more, the first in the order of `_page_by` is used.
    """
    given = {name: value for name in _page_by if (value := getattr(wanted, name)) is not None}
    if not given:
        return _page
    for name, value in (given if len(given) > 1 else {}).items():
        count = await _count_by[name].one(
            tx, chain_id=chain_id, after=after, before=before, value=value
        )
        if count.events < _COMMON:
            return _page_by[name]
    return _page_by[next(iter(given))]


async def export_page(
    tx: Tx, chain_id: UUID, wanted: Filter, after: UUID | None, most: int
) -> list[Line]:
    """Return a page of a chain's events newer than `after`, the oldest first.

    Only the filters on time and type, or on time and person, are used.
    """
    oldest, before = ids.span(wanted.first, wanted.until)
    of: dict[str, object] = {"event_type": wanted.event_type}
    statement = _export_page
    if wanted.user_id is not None:
        statement, of = _export_member_page, {"user_id": wanted.user_id}
    return await statement.all(
        tx,
        chain_id=chain_id,
        after=after or oldest,
        before=before,
        first=wanted.first or _BEGINNING,
        until=wanted.until or _END,
        most=most,
        **of,
    )


async def find_oldest(tx: Tx, chain_id: UUID) -> datetime | None:
    """Return the time of the oldest event of a chain; None when it has none."""
    return (await _find_oldest.one(tx, chain_id=chain_id)).at


async def list_months(tx: Tx, before: datetime) -> list[str]:
    """Return the partition names of the months that ended before `before`."""
    return [month.name for month in await _list_months.all(tx, before=before)]


async def keep_months(tx: Tx) -> bool:
    """Lock all months until the transaction ends; False while another one drops or makes months.

    Call it first in a snapshot that must see them all.
    """
    await _lock_months.run(tx)
    return (await _keep_months.one(tx)).held


async def change_months(tx: Tx) -> bool:
    """Lock the months for this transaction, to drop some; False while `keep_months` holds them."""
    return (await _change_months.one(tx)).held


async def has_unsealed(tx: Tx, before: datetime, recorded_xid: int) -> bool:
    """Whether an event older than `before` is beyond the sealer's progress and has no seal."""
    return (await _has_unsealed.one(tx, before=before, recorded_xid=recorded_xid)).found


async def drop_months(tx: Tx, before: datetime) -> int:
    """Drop the months that ended before `before`, events and seals; return how many months."""
    return (await _drop_months.one(tx, before=before)).dropped


async def erase(tx: Tx, user_id: UserId, personal_keys: Sequence[str]) -> list[UUID]:
    """Remove a person's addresses, user agents and personal details; return the changed chains."""
    rows = await _erase.all(tx, user_id=user_id, personal_keys=list(personal_keys))
    return [row.chain_id for row in rows]
