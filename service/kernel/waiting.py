"""Workers that cannot start yet, and how the workers beside them know.

Each has a file in a folder that all workers of an instance share, and holds a lock on it (flock).
The kernel ends the lock with the process, however it dies; a process id may be given to another.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "TESSERRA_WORKERS_DIR"
"""The environment variable that names the folder; `serve` sets it."""
_MARK = "waiting-"


@contextmanager
def told() -> Iterator[None]:
    """Tell the workers beside this one that it cannot start, until the block or the process ends.

    Nothing is told where there is no such folder, or no file can be made in it.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            _mark(held)
        yield


def _mark(held: contextlib.ExitStack) -> None:
    """Make this worker's file and lock it.  OSError."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=folder)
    held.callback(os.close, descriptor)
    new = Path(name)
    mark = new.with_name(f"{_MARK}{new.name}")
    held.callback(mark.unlink, missing_ok=True)
    held.callback(new.unlink, missing_ok=True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(mark)  # locked already: whoever finds it without a lock may remove it


def is_any() -> bool:
    """Tell whether a worker of this instance lives and cannot start.  Removes what dead ones left.

    A file that cannot be looked at counts as that of such a worker.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        return False
    held = [_is_held(mark) for mark in Path(folder).glob(f"{_MARK}*")]  # all of them, to tidy up
    return any(held)


def _is_held(mark: Path) -> bool:
    try:
        with mark.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # several may look at the same time
            mark.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except OSError:  # it is locked, or cannot be looked at
        return True
    return False
