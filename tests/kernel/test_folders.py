"""Whatever a name says, nothing outside of an organization's room is read, written or removed."""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from service.kernel.folders import FolderError, Folders, Room, TooLargeError

TENANT = UUID("0198c0de-0000-7000-8000-000000000001")
OTHER = UUID("0198c0de-0000-7000-8000-000000000002")
SECRET = b"not yours"
GOOD = "audit-1.ndjson.gz"

NAMES = [
    # traversal
    "..",
    ".",
    "../x.ndjson.gz",
    "../../secret.ndjson.gz",
    "../logo/logo.png",
    f"../../{OTHER}/exports/{GOOD}",
    "a/../../x.ndjson.gz",
    "./x.ndjson.gz",
    "x/y.ndjson.gz",
    "x//y.ndjson.gz",
    "x.ndjson.gz/",
    "x.ndjson.gz/.",
    "..ndjson.gz",
    "...ndjson.gz",
    "a..ndjson.gz",
    "..%2fx.ndjson.gz",
    "%2e%2e/x.ndjson.gz",
    "..%c0%afx.ndjson.gz",
    "..\\x.ndjson.gz",
    "..\\..\\secret.ndjson.gz",
    # absolute
    "/etc/passwd",
    "/x.ndjson.gz",
    "//server/share/x.ndjson.gz",
    "\\\\server\\share\\x.ndjson.gz",
    "C:\\x.ndjson.gz",
    "c:x.ndjson.gz",
    "file:///x.ndjson.gz",
    "~/x.ndjson.gz",
    "~root.ndjson.gz",
    "$HOME.ndjson.gz",
    # bytes and letters that mean something elsewhere
    "",
    " ",
    "x\0.ndjson.gz",
    "x.ndjson.gz\0.png",
    "x\n.ndjson.gz",
    "x\r\n.ndjson.gz",
    "x .ndjson.gz",
    " x.ndjson.gz",
    "x.ndjson.gz ",
    "x.ndjson.gz.",
    "-rf.ndjson.gz",
    "x;y.ndjson.gz",
    "x|y.ndjson.gz",
    "x*.ndjson.gz",
    "x?.ndjson.gz",
    "x:y.ndjson.gz",
    "x.ndjson.gz::$DATA",
    "x'.ndjson.gz",
    'x".ndjson.gz',
    "x<y.ndjson.gz",
    # Unicode and case
    "\u2024\u2024/x.ndjson.gz",
    "\uff0e\uff0e\uff0fx.ndjson.gz",
    "\u2025/x.ndjson.gz",
    "\u2215x.ndjson.gz",
    "x\u202egz.nosjdn.ndjson.gz",
    "\u0430udit.ndjson.gz",
    "caf\u00e9.ndjson.gz",
    "cafe\u0301.ndjson.gz",
    "x\u200b.ndjson.gz",
    "\ufeffx.ndjson.gz",
    "\ud800.ndjson.gz",
    "x\u0661.ndjson.gz",
    "X.ndjson.gz",
    "x.NDJSON.gz",
    "x.ndjson.g\u212a",
    # devices, hidden files, our own parts, other types
    "con.ndjson.gz",
    "nul.ndjson.gz",
    "aux.ndjson.gz",
    "com1.ndjson.gz",
    "lpt9.ndjson.gz",
    ".x.ndjson.gz",
    ".htaccess",
    ".part-0123.ndjson.gz",
    "x.gz",
    "x.ndjson",
    "x.ndjson.gz.exe",
    "x.php.ndjson.gz",
    "x.html",
    "logo.svg",
    # size
    "a" * 102 + ".ndjson.gz",
    "a" * 5000 + ".ndjson.gz",
    "../" * 2000 + "x.ndjson.gz",
]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The data folder; around it, what must stay as it is."""
    root = tmp_path / "data"
    for where in (tmp_path, root, room(root, OTHER)):
        where.mkdir(parents=True, exist_ok=True)
        for name in ("x.ndjson.gz", "secret.ndjson.gz", GOOD):
            (where / name).write_bytes(SECRET)
    return Folders(root)


def room(root: Path, tenant: UUID, name: str = "exports") -> Path:
    return root / "organizations" / str(tenant) / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outside(tmp_path: Path) -> dict[str, bytes | None]:
    """Everything but the room under attack."""
    inside = room(tmp_path / "data", TENANT)
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(tmp_path.rglob("*"))
        if not path.is_relative_to(inside.parent)
    }


def put(folders: Folders, name: str, data: bytes = b"ours", kept: Room = Room.EXPORTS) -> None:
    with folders.write(TENANT, kept, name) as file:
        file.write(data)


def get(folders: Folders, name: str, kept: Room = Room.EXPORTS) -> bytes:
    with folders.read(TENANT, kept, name) as file:
        return file.read()


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:40] for name in NAMES])
def test_a_name_of_the_attack_table_is_refused(folders: Folders, tmp_path: Path, name: str) -> None:
    put(folders, GOOD)
    before = outside(tmp_path)
    acts: list[Callable[[], object]] = [
        lambda: put(folders, name),
        lambda: get(folders, name),
        lambda: folders.remove(TENANT, Room.EXPORTS, name),
    ]
    for act in acts:
        with pytest.raises(FolderError):
            act()
    assert outside(tmp_path) == before
    assert names(room(tmp_path / "data", TENANT)) == [GOOD]


def test_the_table_has_at_least_forty_names() -> None:
    assert len(set(NAMES)) >= 40


def test_what_is_written_is_read_listed_and_removed(folders: Folders, tmp_path: Path) -> None:
    put(folders, GOOD)
    assert get(folders, GOOD) == b"ours"
    assert [kept.name for kept in folders.list(TENANT, Room.EXPORTS)] == [GOOD]
    assert folders.list(TENANT, Room.LOGO) == []
    path = room(tmp_path / "data", TENANT)
    assert (path / GOOD).stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o700
    folders.remove(TENANT, Room.EXPORTS, GOOD)
    with pytest.raises(FileNotFoundError):
        get(folders, GOOD)


def test_two_organizations_never_see_each_other_s_files(folders: Folders) -> None:
    put(folders, "mine.ndjson.gz")
    assert [kept.name for kept in folders.list(OTHER, Room.EXPORTS)] == [
        GOOD,
        "secret.ndjson.gz",
        "x.ndjson.gz",
    ]
    with pytest.raises(FileNotFoundError):
        get(folders, "secret.ndjson.gz")


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": lambda at, target: at.symlink_to(target),
    "a dangling symbolic link": lambda at, target: at.symlink_to(target.with_name("nothing")),
    "a hard link": lambda at, target: at.hardlink_to(target),
    "a pipe": lambda at, _: os.mkfifo(at),
    "a folder": lambda at, _: at.mkdir(),
    "a link to a device": lambda at, _: at.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_no_file_of_ours_is_neither_read_nor_written_through(
    folders: Folders, tmp_path: Path, what: str
) -> None:
    put(folders, "other.ndjson.gz")
    target = tmp_path / "secret.ndjson.gz"
    PLANTED[what](room(tmp_path / "data", TENANT) / GOOD, target)
    with pytest.raises(FolderError):
        get(folders, GOOD)
    assert [kept.name for kept in folders.list(TENANT, Room.EXPORTS)] == ["other.ndjson.gz"]
    if what == "a folder":
        with pytest.raises(FolderError):
            put(folders, GOOD)
    else:
        put(folders, GOOD)  # takes the place of what was there
        assert get(folders, GOOD) == b"ours"
    assert target.read_bytes() == SECRET


@pytest.mark.parametrize("step", ["organizations", str(TENANT), "exports"])
def test_a_folder_on_the_way_that_is_a_link_is_refused(tmp_path: Path, step: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = room(tmp_path / "data", TENANT)
    full = [path.parents[1], path.parent, path]
    link = next(one for one in full if one.name == step)
    below = path.relative_to(link)
    (elsewhere / below).mkdir(parents=True)
    (elsewhere / below / GOOD).write_bytes(SECRET)
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    folders = Folders(tmp_path / "data")
    for act in (put, get):
        with pytest.raises(FolderError):
            act(folders, GOOD)
    assert (elsewhere / below / GOOD).read_bytes() == SECRET
    assert names(elsewhere / below) == [GOOD]


def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    folders, path = Folders(tmp_path / "data"), room(tmp_path / "data", TENANT)
    put(folders, GOOD)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / GOOD).write_bytes(SECRET)
    aside, over = path.with_name("aside"), threading.Event()

    def swap() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            with contextlib.suppress(OSError):  # the writer makes a new folder meanwhile
                path.rename(aside.with_name(f"aside-{number}"))
                path.symlink_to(victim)
            with contextlib.suppress(OSError):
                path.unlink()
            over.wait(0.001 * (number % 2))  # each second time the folder is there for a while

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = {"done": 0, "refused": 0}
    try:
        for number in range(5000):
            if min(seen.values()) >= 100:
                break
            try:
                put(folders, GOOD, b"%d" % number)
                assert get(folders, GOOD) != SECRET
                seen["done"] += 1
            except (FolderError, FileNotFoundError):
                seen["refused"] += 1
    finally:
        over.set()
        swapper.join()
    assert names(victim) == [GOOD]
    assert (victim / GOOD).read_bytes() == SECRET
    assert all(seen.values()), seen


def test_a_file_may_not_grow_beyond_its_room_s_bound_and_leaves_nothing(
    folders: Folders, tmp_path: Path
) -> None:
    with pytest.raises(TooLargeError):
        put(folders, "logo.png", bytes(Room.LOGO.largest + 1), Room.LOGO)
    assert names(room(tmp_path / "data", TENANT, "logo")) == []
    put(folders, "logo.png", bytes(Room.LOGO.largest), Room.LOGO)


def test_a_room_holds_a_bounded_number_of_files(folders: Folders) -> None:
    for number in range(Room.EXPORTS.most):
        put(folders, f"e{number}.ndjson.gz")
    with pytest.raises(TooLargeError):
        put(folders, "more.ndjson.gz")
    put(folders, "e0.ndjson.gz", b"replaced")


def test_what_is_being_written_counts(folders: Folders) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(Room.EXPORTS.most):
            stack.enter_context(folders.write(TENANT, Room.EXPORTS, f"e{number}.ndjson.gz"))
        with pytest.raises(TooLargeError):
            put(folders, "more.ndjson.gz")
    assert len(folders.list(TENANT, Room.EXPORTS)) == Room.EXPORTS.most


def test_a_writer_that_fails_leaves_the_file_as_it_was(folders: Folders, tmp_path: Path) -> None:
    put(folders, GOOD, b"before")

    def fail_halfway() -> None:
        with folders.write(TENANT, Room.EXPORTS, GOOD) as file:
            file.write(b"after")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert get(folders, GOOD) == b"before"
    assert names(room(tmp_path / "data", TENANT)) == [GOOD]


def test_parts_of_writers_that_were_killed_are_swept(folders: Folders, tmp_path: Path) -> None:
    put(folders, GOOD)
    path = room(tmp_path / "data", TENANT)
    for name, age in ((".part-old", 90_000), (".part-new", 0)):
        (path / name).write_bytes(b"")
        at = (path / GOOD).stat().st_mtime - age
        os.utime(path / name, (at, at))
    put(folders, "next.ndjson.gz")
    assert (names(path)) == [".part-new", GOOD, "next.ndjson.gz"]
