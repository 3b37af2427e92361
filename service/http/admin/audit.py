"""/admin/audit-events: the audit trail, read and exported."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from service.domain.audit import Entry, Filter
from service.domain.seals import Checkpoint
from service.flows.shared.reach import THE_PLATFORM
from service.flows.trail import exports as flows
from service.flows.trail.exports import ToExport
from service.flows.trail.read import read_checkpoints, read_trail
from service.http.address import given_address
from service.http.admin.progress import written
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import (
    Cursor,
    EventType,
    ExportName,
    Id,
    IdOrPlatform,
    IpAddress,
    Limit,
    Moment,
    RequestId,
)
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import organization
from service.kernel.folders import Kept
from service.kernel.ids import SessionId, UserId
from service.kernel.refusal import Fault, faulty


class ActorAnswer(Struct, frozen=True):
    """The actor of an event."""

    kind: str
    id: Id | None


class EventAnswer(Struct, frozen=True):
    """One event."""

    id: Id
    occurred_at: Moment
    type: str
    tenant_id: Id | None
    actor: ActorAnswer
    user_id: Id | None
    session_id: Id | None
    address: str | None
    user_agent: str
    request_id: str
    detail: dict[str, Any]


class EventsAnswer(Struct, frozen=True):
    """A page, the newest first."""

    items: list[EventAnswer]
    next_cursor: str | None


class CheckpointAnswer(Struct, frozen=True):
    """A signed checkpoint and the key that verifies it: one line of a file for `audit verify`."""

    id: Id
    tenant_id: Id | None
    position: int
    kind: str
    signed_at: Moment
    kid: str
    public_jwk: dict[str, str]
    token: str


class CheckpointsAnswer(Struct, frozen=True):
    """A page, the newest first."""

    items: list[CheckpointAnswer]
    next_cursor: str | None


class ExportForm(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The events to export."""

    tenant_id: IdOrPlatform | None = None
    from_: Moment | None = None
    to: Moment | None = None
    type: EventType | None = None


_ALL = ExportForm()


class ExportAnswer(Struct, frozen=True):
    """A finished export."""

    name: str
    bytes: int
    finished_at: Moment


class ExportsAnswer(Struct, frozen=True):
    """All of them."""

    items: list[ExportAnswer]
    next_cursor: str | None = None


@get("/audit-events")
async def events(  # noqa: PLR0913 - one per filter
    context: FromCaller,
    *,
    from_: Annotated[Moment | None, QueryParameter(name="from")] = None,
    to: FromQuery[Moment | None] = None,
    event_type: Annotated[EventType | None, QueryParameter(name="type")] = None,
    user_id: FromQuery[Id | None] = None,
    session_id: FromQuery[Id | None] = None,
    address: FromQuery[IpAddress | None] = None,
    request_id: FromQuery[RequestId | None] = None,
    tenant_id: FromQuery[IdOrPlatform | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> EventsAnswer:
    """List events, the newest first; `from` is included, `to` is not.

    With `tenant_id`, platform administrators read another organization's events, which records an
    event there; with `platform`, the events of no organization.
    """
    there = organization(tenant_id)
    wanted = Filter(
        first=_utc("from", from_),
        until=_utc("to", to),
        event_type=event_type,
        user_id=None if user_id is None else UserId(UUID(user_id)),
        session_id=None if session_id is None else SessionId(UUID(session_id)),
        address=given_address(address),
        request_id=request_id,
    )
    most, list_name = limit, f"audit-events {there or context.administrator.tenant_id}"
    before = read_cursor(context.rt, list_name, cursor)
    found = await read_trail(context.rt, context.call, there, wanted, before, most)
    return EventsAnswer(
        [_event(one) for one in found],
        next_cursor(context.rt, list_name, found, most, lambda one: one.event_id),
    )


@get("/audit-events/checkpoints")
async def checkpoints(
    context: FromCaller,
    tenant_id: FromQuery[IdOrPlatform | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> CheckpointsAnswer:
    """List signed checkpoints, the newest first.  Kept elsewhere, they prove what was recorded."""
    there = organization(tenant_id)
    most, list_name = limit, f"checkpoints {there or context.administrator.tenant_id}"
    before = read_cursor(context.rt, list_name, cursor)
    found = await read_checkpoints(context.rt, context.call, there, before, most)
    return CheckpointsAnswer(
        [_checkpoint(one) for one in found],
        next_cursor(context.rt, list_name, found, most, lambda one: one.checkpoint_id),
    )


@post("/audit-events/exports", status_code=201, media_type="application/x-ndjson")
async def export(context: FromCaller, data: JSONBody[ExportForm] = _ALL) -> Stream:
    """Write events to a file of the organization's folder, and stream the progress.

    Lines of JSON `{name, events, fraction}`; the last one has `bytes` and `sha256` (hex), or
    `error` when there is no file.  When the client disconnects, no file is left.
    """
    wanted = ToExport(
        tenant_id=organization(data.tenant_id),
        first=_utc("from", data.from_),
        until=_utc("to", data.to),
        event_type=data.type,
    )
    return written(context, await flows.begin(context.rt, context.call, wanted))


@get("/audit-events/exports")
async def exports(
    context: FromCaller, tenant_id: FromQuery[IdOrPlatform | None] = None
) -> ExportsAnswer:
    """List the existing exports, of events and of people's data."""
    found = await flows.list_exports(context.rt, context.call, organization(tenant_id))
    return ExportsAnswer([_export(one) for one in found])


@get("/audit-events/exports/{name:str}", media_type="application/gzip")
async def download(
    context: FromCaller,
    name: FromPath[ExportName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> Stream:
    """Send an export, with the digest of its bytes (RFC 9530 section 3)."""
    there = organization(tenant_id)
    opened = await flows.open_export(context.rt, context.call, there, name)
    digest = base64.b64encode(opened.sha256).decode()
    headers = {
        "Content-Length": str(opened.size),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Stream(opened.chunks, headers=headers)


@delete("/audit-events/exports/{name:str}", status_code=204)
async def remove(
    context: FromCaller,
    name: FromPath[ExportName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> None:
    """Delete an export; the events stay."""
    await flows.delete_export(context.rt, context.call, organization(tenant_id), name)


def _event(one: Entry) -> EventAnswer:
    return EventAnswer(
        id=str(one.event_id),
        occurred_at=one.occurred_at,
        type=one.event_type,
        tenant_id=_text(one.tenant_id),
        actor=ActorAnswer(one.actor_kind, one.actor_id),
        user_id=_text(one.user_id),
        session_id=_text(one.session_id),
        address=one.ip,
        user_agent=one.user_agent,
        request_id=one.request_id,
        detail=msgspec.json.decode(one.detail, type=dict[str, Any]),
    )


def _checkpoint(one: Checkpoint) -> CheckpointAnswer:
    return CheckpointAnswer(
        id=str(one.checkpoint_id),
        tenant_id=None if one.chain_id == THE_PLATFORM else str(one.chain_id),
        position=one.position,
        kind=one.kind,
        signed_at=one.signed_at,
        kid=one.kid,
        public_jwk=msgspec.json.decode(one.public_jwk, type=dict[str, str]),
        token=one.token,
    )


def _export(one: Kept) -> ExportAnswer:
    return ExportAnswer(one.name, one.size, one.at)


def _text(found: UUID | None) -> str | None:
    return None if found is None else str(found)


def _utc(name: str, given: datetime | None) -> datetime | None:
    """Return a time in UTC.  Refused(INVALID_REQUEST) outside of the years 1 to 9999 in UTC."""
    if given is None:
        return None
    try:
        return given.astimezone(UTC)
    except OverflowError:
        told = "must be a time that is between the years 1 and 9999 in UTC as well"
        raise faulty((Fault(name, told),)) from None


router = Router(
    "/admin",
    route_handlers=[events, checkpoints, export, exports, download, remove],
    dependencies={"context": Provide(provide_administrator)},
)
