"""/revocations: the feed for verifiers, and revocations by administrators."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody
from litestar.response import Stream
from litestar.types import Scope
from msgspec import Meta, Struct

from service.domain.revocations import Kind, Revocation
from service.flows.revocations.read import (
    LONGEST_WAIT,
    MOST,
    Page,
    find_jti,
    find_revoked,
    read_feed,
)
from service.flows.revocations.revoke_by_hand import ToRevoke, revoke_by_hand
from service.http.context import FromCaller, RequestContext, provide_administrator, provide_caller
from service.http.field_types import Line, Moment
from service.kernel.ids import TenantId
from service.kernel.refusal import Refused

_LARGEST_CHECK = 256 * 1024
"""Bytes: a thousand of the longest ids fit."""
After: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
Jti: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+\Z",
        description="a `jti`: 1 to 200 characters of ASCII without spaces",
    ),
]
Resumed: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9]{0,18}\Z", description="the `id` of an event of this stream")
]
Revocable: TypeAlias = Literal["jti", "sid", "sub", "tenant_id", "client_id", "akid"]
"""A signing key is killed, not revoked."""
_STREAM_SECONDS = 29.0
_HEARTBEAT_SECONDS = 1.0
_encode = msgspec.json.Encoder().encode


class EntryAnswer(Struct, frozen=True):
    """One revocation of the feed."""

    seq: int
    kind: Kind
    value: str
    tenant_id: TenantId | None
    """If set, it applies only to tokens with this `tenant_id`.  A verifier that does not know this
    member refuses more than needed, and never accepts a revoked token."""
    cutoff: Moment | None
    revoked_at: Moment
    expires_at: Moment


class FeedAnswer(Struct, frozen=True):
    """A page of the feed; `next` is the cursor to go on from, within this `epoch`.

    When the epoch changes, the database was restored, failed over or started again.  Then begin
    again without a cursor.
    """

    entries: list[EntryAnswer]
    next: int
    has_more: bool
    epoch: str
    now: Moment
    """The service's time, which entries and tokens live by; the Date header is a proxy's."""


class JtiAnswer(Struct, frozen=True, omit_defaults=True):
    """Whether one token is revoked."""

    jti: str
    revoked: bool
    revoked_at: Moment | None = None
    reason: str | None = None
    expires_at: Moment | None = None


class CheckForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 token ids."""

    jtis: Annotated[list[Jti], Meta(max_length=1000)]


class CheckAnswer(Struct, frozen=True):
    """The token ids that are revoked."""

    revoked: list[str]


class RevokeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What to revoke, and why."""

    kind: Revocable
    value: Line
    tenant_id: UUID | None = None
    """For kind `sub`: only in this organization."""
    reason: Line = "revoked by an administrator"


@get("/")
async def feed(
    context: FromCaller,
    scope: Scope,
    after: FromQuery[After | None] = None,
    wait: FromQuery[Annotated[int, Meta(ge=0, le=int(LONGEST_WAIT))]] = 0,
    limit: FromQuery[Annotated[int, Meta(ge=1, le=MOST)]] = 1000,
) -> FeedAnswer:
    """Return the revocations newer than a cursor; without one, all that are in force."""
    page = await _read_on(context, scope, after, wait=wait, limit=limit)
    entries = [_entry(entry) for entry in page.entries]
    return FeedAnswer(entries, page.next, page.has_more, page.epoch, context.rt.clock.now())


@get("/stream", media_type="text/event-stream")
async def stream(
    context: FromCaller,
    scope: Scope,
    last_event_id: Annotated[Resumed | None, HeaderParameter(name="Last-Event-ID")] = None,
    after: FromQuery[After | None] = None,
) -> Stream:
    """Stream the same as Server-Sent Events.  Each stream ends within 30 s; then reconnect.

    The header `Revocations-Epoch` names the epoch of its ids.  The stream ends when that changes.
    """
    cursor = int(last_event_id) if last_event_id else after
    first = await read_feed(context.rt, context.call, cursor, wait=0, limit=MOST)

    async def events() -> AsyncIterator[bytes]:
        page = first
        deadline = context.rt.clock.monotonic() + _STREAM_SECONDS
        while page.epoch == first.epoch:
            for entry in page.entries:
                yield b"id: %d\nevent: revocation\ndata: %b\n\n" % (
                    entry.seq,
                    _encode(_entry(entry)),
                )
            yield b"id: %d\n: fresh\n\n" % page.next
            left = deadline - context.rt.clock.monotonic()
            if left <= 0:
                return
            try:
                wait = min(left, _HEARTBEAT_SECONDS)
                page = await _read_on(context, scope, page.next, wait=wait, limit=MOST)
            except (Refused, asyncio.CancelledError):
                return  # the reader reconnects with its cursor and gets the reason

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(events(), headers={**headers, "Revocations-Epoch": first.epoch})


@get("/{jti:str}")
async def one(context: FromCaller, jti: FromPath[Jti]) -> JtiAnswer:
    """Return whether a token is revoked by its `jti`."""
    entry = await find_jti(context.rt, context.call, jti)
    if entry is None:
        return JtiAnswer(jti=jti, revoked=False)
    return JtiAnswer(
        jti=jti,
        revoked=True,
        revoked_at=entry.revoked_at,
        reason=entry.reason,
        expires_at=entry.expires_at,
    )


@post("/check", status_code=200, request_max_body_size=_LARGEST_CHECK)
async def check(context: FromCaller, data: JSONBody[CheckForm]) -> CheckAnswer:
    """Return which of up to 1,000 tokens are revoked."""
    return CheckAnswer(await find_revoked(context.rt, context.call, data.jtis))


@post("/", status_code=201, dependencies={"context": Provide(provide_administrator)})
async def revoke(context: FromCaller, data: JSONBody[RevokeForm]) -> Response[EntryAnswer]:
    """Revoke tokens (administrators)."""
    there = TenantId(data.tenant_id) if data.tenant_id else None
    wanted = ToRevoke(Kind(data.kind), data.value, data.reason, there)
    entry = await revoke_by_hand(context.rt, context.call, wanted)
    return Response(_entry(entry), status_code=201)


async def _read_on(
    context: RequestContext, scope: Scope, after: int | None, *, wait: float, limit: int
) -> Page:
    """Read the feed.  After a wait, authenticate again: the news may be about the reader."""
    page = await read_feed(context.rt, context.call, after, wait=wait, limit=limit)
    if wait and page.entries:
        await provide_caller(scope)
    return page


def _entry(entry: Revocation) -> EntryAnswer:
    return EntryAnswer(
        entry.seq,
        entry.kind,
        entry.value,
        entry.within,
        entry.cutoff,
        entry.revoked_at,
        entry.expires_at,
    )


router = Router(
    "/revocations",
    route_handlers=[feed, stream, check, revoke, one],
    dependencies={"context": Provide(provide_caller)},
)
