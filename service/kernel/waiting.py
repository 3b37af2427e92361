"""Workers that cannot start, known to the workers beside them by a file each in a folder of all."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_NAME = "waiting-"


@contextmanager
def told() -> Iterator[None]:
    """Have the workers beside this one know that it cannot start, until it ends or leaves this."""
    folder = os.environ.get(_FOLDER)
    mark = Path(folder or "/nonexistent") / f"{_NAME}{os.getpid()}"
    with contextlib.suppress(OSError):
        mark.touch()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()


def is_any() -> bool:
    """Tell whether a worker of this instance lives and cannot start."""
    folder = os.environ.get(_FOLDER)
    if folder is None:
        return False
    marks = Path(folder).glob(f"{_NAME}*")
    return any(Path(f"/proc/{mark.name.removeprefix(_NAME)}").exists() for mark in marks)
