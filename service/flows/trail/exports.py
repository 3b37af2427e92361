"""Export events, or a person's data, as gzipped NDJSON files in the organization's folder."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from msgspec import Struct

from service.domain import apikeys, audit, invitations, seals, sessions, users
from service.domain.audit import Filter, events
from service.flows.shared import export_files, limiting
from service.flows.shared.permissions import Permission, require
from service.flows.shared.reach import THE_PLATFORM, enter, find_member, record_look
from service.kernel.call import Call, Operator
from service.kernel.folders import FolderError, Kept, Room, Writer
from service.kernel.ids import TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

_REST, _REST_BESIDE_SIGN_INS = 1, 20
"""How long an export in a worker pauses after each page, as a multiple of the page's time."""

_PAGE = 1000
_GZIP = 31  # zlib's number for a gzip header and trailer (RFC 1952), here without a time
_LEVEL = 1
_CHUNK = 256 * 1024


class ToExport(Struct, frozen=True, kw_only=True):
    """The events to export: from `first` on and before `until`, of one type or of all.

    `tenant_id`: None is the caller's own organization; `reach.THE_PLATFORM` is the platform.
    """

    tenant_id: TenantId | None = None
    first: datetime | None = None
    until: datetime | None = None
    event_type: str | None = None


class Begun(Struct, frozen=True):
    """An export that is allowed and recorded, and has read no event yet."""

    chain_id: UUID
    name: str
    wanted: Filter
    first: datetime
    until: datetime
    about: tuple[str, ...] = ()
    """Lines that are written before the events."""


class Progress(Struct, frozen=True, omit_defaults=True):
    """The progress of an export.  The last one has the file's size (bytes) and SHA-256."""

    name: str
    events: int
    fraction: float
    size: int | None = None
    sha256: bytes | None = None


class Opened(Struct, frozen=True):
    """A file to send: its size in bytes, the SHA-256 of its content, and its chunks."""

    size: int
    sha256: bytes
    chunks: AsyncIterator[bytes]


async def begin(rt: Runtime, call: Call, asked: ToExport) -> Begun:
    """Decide whether an export may be made, and record it.

    Without an end it contains events up to now.  Refused: FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY.
    """
    await _spend(rt, call, Permission.EXPORT_AUDIT)
    until = min(asked.until or call.at, call.at)
    name = export_files.name_of_events(until)
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, asked.tenant_id)
        chain_id = seals.chain_of(there)
        await export_files.refuse_many(rt, chain_id)
        first = asked.first or await audit.find_oldest(tx, chain_id) or until
        event = events.TrailExported(
            tenant_id=there, name=name, first=first, until=until, event_type=asked.event_type
        )
        await audit.record(tx, call, event)
    wanted = Filter(first=first, until=until, event_type=asked.event_type)
    return Begun(chain_id, name, wanted, first, until)


async def begin_person(
    rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId
) -> Begun:
    """Decide whether a member's data may be exported, and record it.

    The export has the account, sessions, API keys, invitations and events of the member in this
    organization, without any credential.  Refused: FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY.
    """
    await _spend(rt, call, Permission.EXPORT_PEOPLE)
    name = export_files.name_of_person(user_id, call.at)
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, tenant_id, Permission.EXPORT_PEOPLE)
        if there is None:
            raise Refused(Reason.NOT_FOUND, "no such person")  # the platform has no members
        member = await find_member(tx, there, user_id)
        chain_id = seals.chain_of(there)
        await export_files.refuse_many(rt, chain_id)
        about = [
            *await users.export_member(tx, there, user_id),
            *await sessions.export_member(tx, there, user_id),
            *await apikeys.export_member(tx, there, user_id),
            *await invitations.export_sent(tx, there, member.email),
        ]
        first = await audit.find_oldest(tx, chain_id) or call.at
        event = events.PersonExported(tenant_id=there, user_id=user_id, name=name)
        await audit.record(tx, call, event)
    wanted = Filter(first=first, until=call.at, user_id=user_id)
    return Begun(chain_id, name, wanted, first, call.at, tuple(about))


async def run(
    rt: Runtime, begun: Begun, *, resting: bool = False
) -> AsyncGenerator[Progress, None]:
    """Write the file and yield the progress.  The file exists after the last progress.

    `resting`: pause after each page, and longer while people sign in, so that they do not notice.
    When the caller stops iterating, no file is left.  Refused(CONFLICT) when the file grows too
    large or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            target_file = export_files.folders(rt).write(begun.chain_id, Room.EXPORTS, begun.name)
            packer = _Packer(stack.enter_context(target_file))
            await asyncio.to_thread(packer.add, begun.about)
            after = None
            while True:
                began = rt.clock.monotonic()
                async with rt.pg.reading() as tx:
                    page = await audit.export_page(tx, begun.chain_id, begun.wanted, after, _PAGE)
                lines = [one.line for one in page if one.line is not None]
                packer.events += len(lines)
                await asyncio.to_thread(packer.add, lines)
                if len(page) < _PAGE:
                    break
                after = page[-1].event_id
                done = _fraction(begun, page[-1].occurred_at)
                yield Progress(begun.name, packer.events, done)
                if resting:
                    times = _REST_BESIDE_SIGN_INS if rt.passwords.busy else _REST
                    await asyncio.sleep(times * (rt.clock.monotonic() - began))
            await asyncio.to_thread(packer.finish)
            async with _held(rt, begun):
                finish = stack.pop_all()
                await asyncio.to_thread(finish.close)
        except FolderError as exc:
            raise Refused(Reason.CONFLICT, f"the export cannot be kept: {exc}") from None
    yield Progress(begun.name, packer.events, 1.0, packer.size, packer.digest.digest())


async def list_exports(rt: Runtime, call: Call, tenant_id: TenantId | None) -> list[Kept]:
    """Return the existing exports."""
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, tenant_id)
        await record_look(tx, call, there, Permission.EXPORT_AUDIT)
    return await export_files.listed(rt, seals.chain_of(there))


async def open_export(rt: Runtime, call: Call, tenant_id: TenantId | None, name: str) -> Opened:
    """Open an export to send it.  Refused(NOT_FOUND) for any other name."""
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, tenant_id, _needed(name))
        await record_look(tx, call, there, _needed(name))
    stack = ExitStack()
    try:
        file = stack.enter_context(
            export_files.folders(rt).read(seals.chain_of(there), Room.EXPORTS, name)
        )
        size, sha256 = await asyncio.to_thread(_measure, file)
    except (FileNotFoundError, FolderError):
        raise Refused(Reason.NOT_FOUND, "no such export") from None
    except BaseException:
        stack.close()
        raise
    return Opened(size, sha256, _chunks(stack, file, size))


async def delete_export(rt: Runtime, call: Call, tenant_id: TenantId | None, name: str) -> None:
    """Delete an export, after its event is written, so that no deletion lacks an event.

    If the worker dies in between, a repeated request records a second event.  Refused: NOT_FOUND
    for any other name; CONFLICT when the file cannot be deleted.
    """
    async with rt.pg.decision() as tx:
        there = await _enter(tx, call, tenant_id, _needed(name))
        if name not in {one.name for one in await export_files.listed(rt, seals.chain_of(there))}:
            raise Refused(Reason.NOT_FOUND, "no such export")
        deleted = events.TrailExportDeleted(tenant_id=there, name=name)
        await audit.record(tx, call, deleted)
    await export_files.remove(rt, seals.chain_of(there), name)


@asynccontextmanager
async def _held(rt: Runtime, begun: Begun) -> AsyncGenerator[None, None]:
    """Lock the person that a file is about until it exists, so that an erasure finds the file."""
    user_id = begun.wanted.user_id
    if user_id is None:
        yield
        return
    async with rt.pg.decision() as tx:
        account = await users.lock(tx, user_id)
        if account is None or account.erased_at is not None:
            raise Refused(Reason.CONFLICT, "this person was erased meanwhile")
        yield


def _needed(name: str) -> Permission:
    """Return the permission needed for a file: the same for making and for reading it."""
    return Permission.EXPORT_PEOPLE if export_files.is_of_person(name) else Permission.EXPORT_AUDIT


class _Packer:
    """Compresses lines into a gzip file and computes the digest of the file."""

    def __init__(self, writer: Writer) -> None:
        self.events = 0
        self.size = 0
        self.digest = hashlib.sha256()
        self._writer = writer
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def add(self, lines: Sequence[str]) -> None:
        """Append lines."""
        self._put(self._gzip.compress("".join(f"{line}\n" for line in lines).encode()))

    def finish(self) -> None:
        """Append the rest of the compressed data."""
        self._put(self._gzip.flush())

    def _put(self, packed: bytes) -> None:
        self._writer.write(packed)
        self.digest.update(packed)
        self.size += len(packed)


async def _spend(rt: Runtime, call: Call, act: Permission) -> None:
    if not isinstance(call.actor, Operator):
        await limiting.spend_own(rt, call, "export", require(call, act))


async def _enter(
    tx: Tx, call: Call, tenant_id: TenantId | None, act: Permission = Permission.EXPORT_AUDIT
) -> TenantId | None:
    if isinstance(call.actor, Operator) and tenant_id is not None:
        return None if tenant_id == THE_PLATFORM else tenant_id
    return await enter(tx, call, tenant_id, act)


def _fraction(begun: Begun, reached: datetime) -> float:
    whole = (begun.until - begun.first).total_seconds()
    part = (reached - begun.first).total_seconds()
    return round(min(max(part / whole, 0.0), 1.0), 4) if whole > 0 else 1.0


def _measure(file: BinaryIO) -> tuple[int, bytes]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.digest()


async def _chunks(stack: ExitStack, file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """Yield the bytes that were measured, from the same open file."""
    with stack:
        file.seek(0)
        while size > 0 and (chunk := await asyncio.to_thread(file.read, min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
