"""Folders of organizations: AUTH_DATA_DIR/organizations/<tenant_id>/<room>/<name>.

Only this module opens a path there.  Each step of a path is opened from the directory above it
(openat) and follows no symbolic link.  Checks look at the opened file, not at its name, so nothing
can change between a check and the use.  File names are plain, so that they mean the same on every
file system.  All functions block: callers run them in a thread.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from msgspec import Struct

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}(\.[a-z0-9]{1,10}){1,2}")
_DEVICES = re.compile(r"(con|prn|aux|nul|conin|conout|com[0-9]|lpt[0-9])\.")
"""Names that are devices on Windows, with any ending."""

_MEBIBYTE = 1024 * 1024
_PARTS = ".part-"
_STALE_SECONDS = 86_400.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderError(Exception):
    """A name is not allowed, or the path is not an ordinary file of the service."""


class TooLargeError(FolderError):
    """A file would be larger than allowed, or a room would hold more files than allowed."""


class Room(Enum):
    """A kind of files, kept in a folder of its own, with its endings and limits."""

    EXPORTS = "exports"
    LOGO = "logo"

    @property
    def endings(self) -> tuple[str, ...]:
        """The allowed endings of file names."""
        return (".ndjson.gz",) if self is Room.EXPORTS else (".png", ".webp")

    @property
    def largest(self) -> int:
        """The largest size of a file, in bytes."""
        return 16 * 1024 * _MEBIBYTE if self is Room.EXPORTS else 256 * 1024

    @property
    def most(self) -> int:
        """The largest number of files, including those that are being written."""
        return 20 if self is Room.EXPORTS else 4


class Kept(Struct, frozen=True):
    """A finished file: its name, its size in bytes and when it was finished (UTC)."""

    name: str
    size: int
    at: datetime


class Writer:
    """Takes the bytes of a file.  The file gets its name when it is complete."""

    def __init__(self, file: BinaryIO, largest: int) -> None:
        self._file = file
        self._left = largest

    def write(self, data: bytes) -> None:
        """Append bytes.  TooLargeError when the file would be larger than allowed."""
        self._left -= len(data)
        if self._left < 0:
            raise TooLargeError("the file would be too large")
        self._file.write(data)


class Folders:
    """The folders of all organizations, under one root."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir

    @contextmanager
    def write(self, tenant_id: UUID, room: Room, name: str) -> Iterator[Writer]:
        """Write a file: it appears, complete and synced to disk, when the block ends without error.

        It replaces a file of the same name in one step.  Raises FolderError, TooLargeError.
        """
        _check(room, name)
        with self._open_room(tenant_id, room, make=True) as folder:
            part = f"{_PARTS}{secrets.token_hex(12)}"
            with _refusing(), os.fdopen(os.open(part, _WRITE, 0o600, dir_fd=folder), "wb") as file:
                try:
                    _sweep(folder, os.fstat(file.fileno()).st_mtime)
                    _check_space(folder, room, {part, name})
                    yield Writer(file, room.largest)
                    file.flush()
                    os.fsync(file.fileno())
                    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with contextlib.suppress(OSError):
                        os.unlink(part, dir_fd=folder)
                    raise
            os.fsync(folder)

    @contextmanager
    def read(self, tenant_id: UUID, room: Room, name: str) -> Iterator[BinaryIO]:
        """Open a file to read.  FileNotFoundError when there is none; FolderError."""
        _check(room, name)
        with self._open_room(tenant_id, room, make=False) as folder:
            with _refusing():
                file = os.fdopen(os.open(name, _READ, dir_fd=folder), "rb")
            with file:
                _check_ordinary(os.fstat(file.fileno()), room)
                yield file

    def remove(self, tenant_id: UUID, room: Room, name: str) -> None:
        """Remove a file.  FileNotFoundError when there is none; FolderError."""
        _check(room, name)
        with self._open_room(tenant_id, room, make=False) as folder, _refusing():
            os.unlink(name, dir_fd=folder)

    def list(self, tenant_id: UUID, room: Room) -> "list[Kept]":
        """Return the files of a room, by name.  Anything but ordinary files is left out."""
        found = []
        try:
            with self._open_room(tenant_id, room, make=False) as folder:
                for name in sorted(_names(folder, room)):
                    with contextlib.suppress(OSError, FolderError):
                        told = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        _check_ordinary(told, room)
                        at = datetime.fromtimestamp(told.st_mtime, UTC)
                        found.append(Kept(name, told.st_size, at))
        except FileNotFoundError:
            return []
        return found

    def tenants(self) -> tuple[UUID, ...]:
        """Return the organizations that have a folder.  FolderError."""
        found = []
        with contextlib.suppress(FileNotFoundError), self._open() as folder:
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - of a descriptor
                with contextlib.suppress(ValueError):
                    found.append(UUID(name))
        return tuple(found)

    def _open_room(self, tenant_id: UUID, room: Room, *, make: bool) -> AbstractContextManager[int]:
        return self._open(str(UUID(int=tenant_id.int)), room.value, make=make)

    @contextmanager
    def _open(self, *steps: str, make: bool = False) -> Iterator[int]:
        with contextlib.ExitStack() as stack, _refusing():
            if make:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The operator chooses the root, and it may be a link.  Below it no link is followed.
            here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, here)
            for step in ("organizations", *steps):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(step, 0o700, dir_fd=here)
                here = os.open(step, _FOLDER, dir_fd=here)
                stack.callback(os.close, here)
            yield here


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn an OSError, but for FileNotFoundError, into a FolderError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise FolderError(f"not an ordinary file of ours ({os.strerror(exc.errno or 0)})") from exc


def _check(room: Room, name: str) -> None:
    if not (_NAME.fullmatch(name) and name.endswith(room.endings)) or _DEVICES.match(name):
        raise FolderError("not a name of a file kept here")


def _check_ordinary(told: os.stat_result, room: Room) -> None:
    """Refuse devices, pipes, folders, links, and files with a second name (hard links)."""
    if not stat.S_ISREG(told.st_mode) or told.st_nlink != 1 or told.st_size > room.largest:
        raise FolderError("not an ordinary file of ours")


def _names(folder: int, room: Room) -> "set[str]":
    return {name for name in os.listdir(folder) if name.endswith(room.endings)}


def _check_space(folder: int, room: Room, ours: "set[str]") -> None:
    """Refuse a file over the limit.  Files that others are writing now count too."""
    names = {*os.listdir(folder)} - ours
    if sum(name.endswith(room.endings) or name.startswith(_PARTS) for name in names) >= room.most:
        raise TooLargeError(f"there are {room.most} files already")


def _sweep(folder: int, now: float) -> None:
    """Remove partial files that killed writers left: those not written to for a day.

    `now` is the modification time of a file made this moment, by the file system's own clock.
    """
    for name in os.listdir(folder):
        if name.startswith(_PARTS):
            with contextlib.suppress(OSError):
                at = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if at < now - _STALE_SECONDS:
                    os.unlink(name, dir_fd=folder)
