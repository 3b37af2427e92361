"""/revocations: what verifiers follow, and revoking by hand."""

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
from service.http.context import FromCaller, RequestContext, provide_caller
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
    """One revocation, as verifiers are told of it."""

    seq: int
    kind: Kind
    value: str
    tenant_id: TenantId | None
    """If set: it concerns tokens with this `tenant_id` alone.  A verifier that does not know this
    member refuses more than it must, and lets nothing through."""
    cutoff: Moment | None
    revoked_at: Moment
    expires_at: Moment


class FeedAnswer(Struct, frozen=True):
    """A page of the feed; `next` is the cursor to go on from, within this `epoch`.

    Another epoch than before: the database was restored, failed over or started again.  Begin
    without a cursor.
    """

    entries: list[EntryAnswer]
    next: int
    has_more: bool
    epoch: str
    now: Moment
    """The service's time, which entries and tokens live by; the Date header is a proxy's."""


class JtiAnswer(Struct, frozen=True, omit_defaults=True):
    """What is known of one token."""

    jti: str
    revoked: bool
    revoked_at: Moment | None = None
    reason: str | None = None
    expires_at: Moment | None = None


class CheckForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 token ids."""

    jtis: Annotated[list[Jti], Meta(max_length=1000)]


class CheckAnswer(Struct, frozen=True):
    """Those of them that are revoked."""

    revoked: list[str]


class RevokeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What to revoke, and why."""

    kind: Revocable
    value: Line
    tenant_id: UUID | None = None
    """Of kind `sub`: in this organization alone."""
    reason: Line = "revoked by an administrator"


@get("/")
async def feed(
    context: FromCaller,
    scope: Scope,
    after: FromQuery[After | None] = None,
    wait: FromQuery[Annotated[int, Meta(ge=0, le=int(LONGEST_WAIT))]] = 0,
    limit: FromQuery[Annotated[int, Meta(ge=1, le=MOST)]] = 1000,
) -> FeedAnswer:
    """Return revocations newer than a cursor; without one, everything still in force."""
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
    """Stream the same as Server-Sent Events; each stream ends within 30 s, and is resumed.

    The header `Revocations-Epoch` names what its ids count in.  It ends early with that epoch.
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
                return  # the reader comes back with its cursor and is told why

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(events(), headers={**headers, "Revocations-Epoch": first.epoch})


@get("/{jti:str}")
async def one(context: FromCaller, jti: FromPath[Jti]) -> JtiAnswer:
    """Tell whether one token was revoked by its `jti`."""
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
    """Tell which of up to 1,000 tokens were revoked."""
    return CheckAnswer(await find_revoked(context.rt, context.call, data.jtis))


@post("/", status_code=201)
async def revoke(context: FromCaller, data: JSONBody[RevokeForm]) -> Response[EntryAnswer]:
    """Revoke by hand."""
    there = TenantId(data.tenant_id) if data.tenant_id else None
    wanted = ToRevoke(Kind(data.kind), data.value, data.reason, there)
    entry = await revoke_by_hand(context.rt, context.call, wanted)
    return Response(_entry(entry), status_code=201)


async def _read_on(
    context: RequestContext, scope: Scope, after: int | None, *, wait: float, limit: int
) -> Page:
    """Read the feed; whoever waited for news says again who they are: it may be about them."""
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
