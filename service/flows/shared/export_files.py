"""The files of exports: their names, how many there may be, and how they are deleted."""

import asyncio
import secrets
from datetime import UTC, datetime
from uuid import UUID

from service.kernel.folders import FolderError, Folders, Kept, Room
from service.kernel.ids import UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_PERSON = "person-"


def name_of_events(until: datetime) -> str:
    """Return the file name for an export of events up to `until`."""
    return _name("audit", until)


def name_of_person(user_id: UserId, at: datetime) -> str:
    """Return the file name for an export of a person.  Their id in it serves to erase the file."""
    return _name(_of(user_id), at)


def is_of_person(name: str) -> bool:
    """Whether a file is an export of a person."""
    return name.startswith(_PERSON)


async def listed(rt: Runtime, chain_id: UUID) -> list[Kept]:
    """Return the export files of an organization, or of the platform."""
    return await asyncio.to_thread(folders(rt).list, chain_id, Room.EXPORTS)


async def refuse_many(rt: Runtime, chain_id: UUID) -> None:
    """Refuse another export when there are as many as allowed: CONFLICT."""
    kept = await listed(rt, chain_id)
    if len(kept) >= Room.EXPORTS.most:
        raise Refused(Reason.CONFLICT, f"there are {len(kept)} exports: delete one first")


async def remove(rt: Runtime, chain_id: UUID, name: str) -> None:
    """Delete a file; it may be gone already.  Refused(CONFLICT) when it cannot be deleted."""
    try:
        await asyncio.to_thread(folders(rt).remove, chain_id, Room.EXPORTS, name)
    except FileNotFoundError:
        return
    except (FolderError, OSError) as exc:
        raise _stays(exc) from None


async def forget_person(rt: Runtime, user_id: UserId) -> None:
    """Delete all exports of a person, in every organization.  Refused(CONFLICT)."""
    try:
        found = await asyncio.to_thread(_everywhere, folders(rt), _of(user_id))
    except (FolderError, OSError) as exc:
        raise _stays(exc) from None
    for chain_id, name in found:
        await remove(rt, chain_id, name)


def folders(rt: Runtime) -> Folders:
    """Return the folders of the organizations."""
    return Folders(rt.settings.data_dir)


def _stays(why: Exception) -> Refused:
    return Refused(Reason.CONFLICT, "the export cannot be deleted", private=type(why).__name__)


def _everywhere(these: Folders, of: str) -> list[tuple[UUID, str]]:
    return [
        (chain_id, one.name)
        for chain_id in these.tenants()
        for one in these.list(chain_id, Room.EXPORTS)
        if one.name.startswith(of)
    ]


def _of(user_id: UserId) -> str:
    return f"{_PERSON}{user_id}"


def _name(what: str, at: datetime) -> str:
    return f"{what}-{at.astimezone(UTC):%Y%m%dt%H%M%Sz}-{secrets.token_hex(4)}.ndjson.gz"
