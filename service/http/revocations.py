"""/revocations: what verifiers follow, and revoking by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
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
from service.flows.revocations.revoke_by_hand import Asked as ToRevoke
from service.flows.revocations.revoke_by_hand import revoke_by_hand
from service.http.asked import Asked, FromCaller, provide_caller
from service.http.text import Line
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused

LONGEST_JTI = 200
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
    cutoff: datetime | None
    revoked_at: datetime
    expires_at: datetime


class FeedAnswer(Struct, frozen=True):
    """A page of the feed; `next` is the cursor to go on from, within this `epoch`.

    Another epoch than before: the database was restored, failed over or started again.  Begin
    without a cursor.
    """

    entries: list[EntryAnswer]
    next: int
    has_more: bool
    epoch: str
    now: datetime
    """The service's time, which entries and tokens live by; the Date header is a proxy's."""


class JtiAnswer(Struct, frozen=True, omit_defaults=True):
    """What is known of one token."""

    jti: str
    revoked: bool
    revoked_at: datetime | None = None
    reason: str | None = None
    expires_at: datetime | None = None


class CheckForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 token ids."""

    jtis: Annotated[list[Line], Meta(max_length=1000)]


class CheckAnswer(Struct, frozen=True):
    """Those of them that are revoked."""

    revoked: list[str]


class RevokeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What to revoke, and why."""

    kind: Kind
    value: Line
    tenant_id: UUID | None = None
    """Of kind `sub`: in this organization alone."""
    reason: Line = "revoked by an administrator"


@get("/")
async def feed(
    asked: FromCaller,
    scope: Scope,
    after: FromQuery[str | None] = None,
    wait: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> FeedAnswer:
    """Return revocations newer than a cursor; without one, everything still in force."""
    page = await _read_on(
        asked,
        scope,
        None if after is None else _number("after", after, 2**62),
        wait=0 if wait is None else _number("wait", wait, int(LONGEST_WAIT)),
        limit=1000 if limit is None else _number("limit", limit, MOST, least=1),
    )
    entries = [_entry(entry) for entry in page.entries]
    return FeedAnswer(entries, page.next, page.has_more, page.epoch, asked.rt.clock.now())


@get("/stream", media_type="text/event-stream")
async def stream(
    asked: FromCaller,
    scope: Scope,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
    after: FromQuery[str | None] = None,
) -> Stream:
    """Stream the same as Server-Sent Events; each stream ends within 30 s, and is resumed.

    The header `Revocations-Epoch` names what its ids count in.  It ends early with that epoch.
    """
    given = last_event_id or after
    cursor = None if given is None else _number("after", given, 2**62)
    first = await read_feed(asked.rt, asked.call, cursor, wait=0, limit=MOST)

    async def events() -> AsyncIterator[bytes]:
        page = first
        deadline = asked.rt.clock.monotonic() + _STREAM_SECONDS
        while page.epoch == first.epoch:
            for entry in page.entries:
                yield b"id: %d\nevent: revocation\ndata: %b\n\n" % (
                    entry.seq,
                    _encode(_entry(entry)),
                )
            yield b"id: %d\n: fresh\n\n" % page.next
            left = deadline - asked.rt.clock.monotonic()
            if left <= 0:
                return
            try:
                wait = min(left, _HEARTBEAT_SECONDS)
                page = await _read_on(asked, scope, page.next, wait=wait, limit=MOST)
            except (Refused, asyncio.CancelledError):
                return  # the reader comes back with its cursor and is told why

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(events(), headers={**headers, "Revocations-Epoch": first.epoch})


@get("/{jti:str}")
async def one(asked: FromCaller, jti: FromPath[str]) -> JtiAnswer:
    """Tell whether one token was revoked by its `jti`."""
    if len(jti) > LONGEST_JTI or not jti.isprintable():
        raise Refused(Reason.INVALID_REQUEST, "not a token id", fields=("jti",))
    entry = await find_jti(asked.rt, asked.call, jti)
    if entry is None:
        return JtiAnswer(jti=jti, revoked=False)
    return JtiAnswer(
        jti=jti,
        revoked=True,
        revoked_at=entry.revoked_at,
        reason=entry.reason,
        expires_at=entry.expires_at,
    )


@post("/check", status_code=200)
async def check(asked: FromCaller, data: JSONBody[CheckForm]) -> CheckAnswer:
    """Tell which of up to 1,000 tokens were revoked."""
    return CheckAnswer(await find_revoked(asked.rt, asked.call, data.jtis))


@post("/", status_code=201)
async def revoke(asked: FromCaller, data: JSONBody[RevokeForm]) -> Response[EntryAnswer]:
    """Revoke by hand."""
    there = TenantId(data.tenant_id) if data.tenant_id else None
    wanted = ToRevoke(data.kind, data.value, data.reason, there)
    entry = await revoke_by_hand(asked.rt, asked.call, wanted)
    return Response(_entry(entry), status_code=201)


async def _read_on(
    asked: Asked, scope: Scope, after: int | None, *, wait: float, limit: int
) -> Page:
    """Read the feed; whoever waited for news says again who they are: it may be about them."""
    page = await read_feed(asked.rt, asked.call, after, wait=wait, limit=limit)
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


def _number(name: str, text: str, most: int, *, least: int = 0) -> int:
    """Read a whole number of a query.  Refused(INVALID_REQUEST) names the parameter."""
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:  # noqa: PLR2004
        return int(text)
    raise Refused(
        Reason.INVALID_REQUEST,
        f"a whole number from {least} to {most} is expected",
        fields=(name,),
    )


router = Router(
    "/revocations",
    route_handlers=[feed, stream, check, revoke, one],
    dependencies={"asked": Provide(provide_caller)},
)
