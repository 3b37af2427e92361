"""The logo that an organization shows on the sign-in page."""

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import ExitStack

from msgspec import Struct

from service.domain import audit
from service.domain.audit import events
from service.flows.shared.permissions import Permission, require
from service.flows.shared.reach import find_organization, record_look, target
from service.kernel.call import Call
from service.kernel.folders import FolderError, Folders, Room
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

LARGEST = Room.LOGO.largest
"""The largest size of a logo, in bytes."""

MEDIA_TYPES = ("image/png", "image/webp")

_NAMES = {"image/png": "logo.png", "image/webp": "logo.webp"}
_LONGEST_SIDE = 2048
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


class Logo(Struct, frozen=True):
    """A picture and its media type."""

    media_type: str
    content: bytes


async def put_logo(rt: Runtime, call: Call, tenant_id: TenantId, logo: Logo) -> None:
    """Replace the logo.

    Refused: UNSUPPORTED_MEDIA unless both its first bytes and its media type say PNG or WebP;
    TOO_LARGE over 256 KiB or 2048 pixels a side; NOT_FOUND out of reach; CONFLICT when the file
    cannot be written.
    """
    there = target(require(call, Permission.KEEP_LOGO), tenant_id)
    _check(logo)
    folders, name = Folders(rt.settings.data_dir), _NAMES[logo.media_type]
    with ExitStack() as stack:
        try:
            async with rt.pg.decision() as tx:
                await find_organization(tx, there)
                file = stack.enter_context(folders.write(there, Room.LOGO, name))
                await asyncio.to_thread(file.write, logo.content)
                await audit.record(tx, call, events.LogoChanged(tenant_id=there))
            finish = stack.pop_all()  # the file appears only after its event is written
            await asyncio.to_thread(finish.close)
            await asyncio.to_thread(_remove, folders, there, set(_NAMES.values()) - {name})
        except FolderError as exc:
            raise Refused(Reason.CONFLICT, f"the logo cannot be kept: {exc}") from None


async def read_logo(rt: Runtime, call: Call, tenant_id: TenantId) -> Logo:
    """Return the logo.  Refused(NOT_FOUND) without one, and for an organization out of reach."""
    there = target(require(call, Permission.READ_LOGO), tenant_id)
    found = await asyncio.to_thread(_read, Folders(rt.settings.data_dir), there)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no logo")
    async with rt.pg.decision() as tx:
        await record_look(tx, call, there, Permission.READ_LOGO)
    return found


async def delete_logo(rt: Runtime, call: Call, tenant_id: TenantId) -> None:
    """Remove the logo.  Refused(NOT_FOUND) when there is none."""
    there = target(require(call, Permission.KEEP_LOGO), tenant_id)
    folders = Folders(rt.settings.data_dir)
    async with rt.pg.decision() as tx:
        if await asyncio.to_thread(_read, folders, there) is None:
            raise Refused(Reason.NOT_FOUND, "no logo")
        await audit.record(tx, call, events.LogoChanged(tenant_id=there, removed=True))
    await asyncio.to_thread(_remove, folders, there, _NAMES.values())


def _check(logo: Logo) -> None:
    if len(logo.content) > LARGEST:
        raise Refused(Reason.TOO_LARGE, "a logo has at most 256 KiB")
    kind, sides = _look(logo.content)
    if kind is None or kind != logo.media_type:
        raise Refused(Reason.UNSUPPORTED_MEDIA, "a logo is image/png or image/webp, and is it")
    if not all(1 <= side <= _LONGEST_SIDE for side in sides):
        raise Refused(Reason.TOO_LARGE, "a logo has at most 2048 pixels a side")


def _look(content: bytes) -> tuple[str | None, tuple[int, int]]:
    """Return a picture's media type and its width and height, from its first bytes.

    PNG: section 11.2.1 (IHDR).  WebP: RFC 9649 section 2, simple and extended.
    """
    if content.startswith(_PNG):
        at = len(_PNG)
        return "image/png", (int.from_bytes(content[at : at + 4]), _big(content, at + 4))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", _webp_sides(content)
    return None, (0, 0)


def _webp_sides(content: bytes) -> tuple[int, int]:
    match content[12:16]:
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            wide, high = content[26:28], content[28:30]
            return int.from_bytes(wide, "little") & 0x3FFF, int.from_bytes(high, "little") & 0x3FFF
        case b"VP8L" if content[20:21] == b"\x2f":
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            wide, high = content[24:27], content[27:30]
            return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    return 0, 0


def _big(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4])


def _remove(folders: Folders, there: TenantId, names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            folders.remove(there, Room.LOGO, name)


def _read(folders: Folders, there: TenantId) -> Logo | None:
    for media_type, name in _NAMES.items():
        try:
            with folders.read(there, Room.LOGO, name) as file:
                return Logo(media_type, file.read())
        except (FileNotFoundError, FolderError):
            continue
    return None
