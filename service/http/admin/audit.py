"""/admin/audit-events: the audit trail, read and exported."""

import base64
import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from service.domain.audit import Entry, Filter
from service.domain.seals import Checkpoint
from service.flows.admin import exports as flows
from service.flows.admin.exports import ToExport
from service.flows.admin.reach import THE_PLATFORM
from service.flows.admin.trail import read_checkpoints, read_trail
from service.http.address import given_address
from service.http.admin.progress import written
from service.http.asked import FromCaller, provide_signed_in
from service.http.named import organization_or_platform
from service.http.paging import next_cursor, read_cursor, read_limit
from service.kernel.folders import Kept
from service.kernel.ids import SessionId, UserId
from service.kernel.refusal import Reason, Refused

_TYPE = re.compile(r"[a-z0-9_.]{1,64}")
_A_TIME = "a time as of RFC 3339 is expected, with its offset"
_REQUEST = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ActorAnswer(Struct, frozen=True):
    """Who did it."""

    kind: str
    id: str | None


class EventAnswer(Struct, frozen=True):
    """One event."""

    id: str
    occurred_at: datetime
    type: str
    tenant_id: str | None
    actor: ActorAnswer
    user_id: str | None
    session_id: str | None
    address: str | None
    user_agent: str
    request_id: str
    detail: dict[str, Any]


class EventsAnswer(Struct, frozen=True):
    """A page, the newest first."""

    items: list[EventAnswer]
    next_cursor: str | None


class CheckpointAnswer(Struct, frozen=True):
    """What was signed, and the key that verifies it.  A line of a file for `audit verify`."""

    id: str
    tenant_id: str | None
    position: int
    kind: str
    signed_at: datetime
    kid: str
    public_jwk: dict[str, str]
    token: str


class CheckpointsAnswer(Struct, frozen=True):
    """A page, the newest first."""

    items: list[CheckpointAnswer]
    next_cursor: str | None


class ExportForm(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which events to export."""

    tenant_id: Annotated[str, Meta(max_length=36)] | None = None
    from_: Annotated[datetime, Meta(tz=True)] | None = None
    to: Annotated[datetime, Meta(tz=True)] | None = None
    type: Annotated[str, Meta(pattern=r"^[a-z0-9_.]{1,64}\Z")] | None = None


class ExportAnswer(Struct, frozen=True):
    """A finished export."""

    name: str
    bytes: int
    finished_at: datetime


class ExportsAnswer(Struct, frozen=True):
    """All of them."""

    items: list[ExportAnswer]
    next_cursor: str | None = None


@get("/audit-events")
async def events(  # noqa: PLR0913 - one per filter
    asked: FromCaller,
    *,
    from_: Annotated[str | None, QueryParameter(name="from")] = None,
    to: FromQuery[str | None] = None,
    event_type: Annotated[str | None, QueryParameter(name="type")] = None,
    user_id: FromQuery[str | None] = None,
    session_id: FromQuery[str | None] = None,
    address: FromQuery[str | None] = None,
    request_id: FromQuery[str | None] = None,
    tenant_id: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> EventsAnswer:
    """List events, the newest first; `from` is included, `to` is not.

    Platform administrators read another organization's by `tenant_id`, which leaves an event, and
    by `platform` what concerns none.
    """
    there = organization_or_platform(tenant_id)
    person, session = _uuid("user_id", user_id), _uuid("session_id", session_id)
    wanted = Filter(
        first=_time("from", from_),
        until=_time("to", to),
        event_type=_matching("type", _TYPE, event_type),
        user_id=None if person is None else UserId(person),
        session_id=None if session is None else SessionId(session),
        address=given_address(address),
        request_id=_matching("request_id", _REQUEST, request_id),
    )
    most, list_name = read_limit(limit), f"audit-events {there or asked.person.tenant_id}"
    before = read_cursor(asked.rt, list_name, cursor)
    found = await read_trail(asked.rt, asked.call, there, wanted, before, most)
    return EventsAnswer(
        [_event(one) for one in found],
        next_cursor(asked.rt, list_name, found, most, lambda one: one.event_id),
    )


@get("/audit-events/checkpoints")
async def checkpoints(
    asked: FromCaller,
    tenant_id: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> CheckpointsAnswer:
    """List signed checkpoints, the newest first.  Kept elsewhere, they prove what was recorded."""
    there = organization_or_platform(tenant_id)
    most, list_name = read_limit(limit), f"checkpoints {there or asked.person.tenant_id}"
    before = read_cursor(asked.rt, list_name, cursor)
    found = await read_checkpoints(asked.rt, asked.call, there, before, most)
    return CheckpointsAnswer(
        [_checkpoint(one) for one in found],
        next_cursor(asked.rt, list_name, found, most, lambda one: one.checkpoint_id),
    )


@post("/audit-events/exports", status_code=201, media_type="application/x-ndjson")
async def export(asked: FromCaller, data: JSONBody[ExportForm]) -> Stream:
    """Write events to a file of the organization's folder, telling how far it is.

    Lines of JSON `{name, events, fraction}`; the last one has `bytes` and `sha256` (hex), or
    `error` when there is no file.  Whoever stops listening leaves none.
    """
    wanted = ToExport(
        tenant_id=organization_or_platform(data.tenant_id),
        first=_utc("from", data.from_),
        until=_utc("to", data.to),
        event_type=data.type,
    )
    return written(asked, await flows.begin(asked.rt, asked.call, wanted))


@get("/audit-events/exports")
async def exports(asked: FromCaller, tenant_id: FromQuery[str | None] = None) -> ExportsAnswer:
    """List the exports that are kept: of events, and of what is kept of people."""
    found = await flows.list_exports(asked.rt, asked.call, organization_or_platform(tenant_id))
    return ExportsAnswer([_export(one) for one in found])


@get("/audit-events/exports/{name:str}", media_type="application/gzip")
async def download(
    asked: FromCaller, name: FromPath[str], tenant_id: FromQuery[str | None] = None
) -> Stream:
    """Send an export, with the digest of its bytes (RFC 9530 section 3)."""
    there = organization_or_platform(tenant_id)
    opened = await flows.open_export(asked.rt, asked.call, there, name)
    digest = base64.b64encode(opened.sha256).decode()
    headers = {
        "Content-Length": str(opened.size),
        "Repr-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Stream(opened.chunks, headers=headers)


@delete("/audit-events/exports/{name:str}", status_code=204)
async def remove(
    asked: FromCaller, name: FromPath[str], tenant_id: FromQuery[str | None] = None
) -> None:
    """Delete an export; the events stay."""
    await flows.delete_export(asked.rt, asked.call, organization_or_platform(tenant_id), name)


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


def _uuid(name: str, text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise _wrong(name, "an id is expected") from None


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return _utc(name, msgspec.convert(text, datetime))
    except msgspec.ValidationError:
        raise _wrong(name, _A_TIME) from None


def _utc(name: str, given: datetime | None) -> datetime | None:
    """Return a time as of UTC, where the first and the last hours of all years are none."""
    if given is None:
        return None
    if given.tzinfo is None:
        raise _wrong(name, _A_TIME)
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise _wrong(name, _A_TIME) from None


def _matching(name: str, pattern: re.Pattern[str], text: str | None) -> str | None:
    if text is not None and not pattern.fullmatch(text):
        raise _wrong(name, "it has letters that do not belong there, or too many")
    return text


def _wrong(name: str, told: str) -> Refused:
    return Refused(Reason.INVALID_REQUEST, told, fields=(name,))


router = Router(
    "/admin",
    route_handlers=[events, checkpoints, export, exports, download, remove],
    dependencies={"asked": Provide(provide_signed_in)},
)
