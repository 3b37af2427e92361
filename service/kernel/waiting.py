"""Workers that cannot start yet, and how the other workers of the instance know.

Each such worker locks a file (flock) in a folder that all workers of the instance share.  The
operating system releases the lock when the process ends, however it ends.  A process id would not
do: another process may get the same number.
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
    """While inside, show the other workers that this one cannot start; also until a crash.

    Does nothing when there is no such folder, or no file can be made in it.
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
    new.rename(mark)  # locked before it gets its name, since a worker may remove an unlocked file


def is_any() -> bool:
    """Whether a live worker of this instance cannot start.  Removes the files of dead workers.

    A file that cannot be opened counts as that of such a worker.
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
    except OSError:  # it is locked, or cannot be opened
        return True
    return False
