"""Copies of this checkout that a test may start, break and throw away."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.embedded.checkouts import Copy, Dev, make_copy


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that other users may enter (pytest's own may not be)."""
    made = Path(tempfile.mkdtemp(prefix="tesserra-checkout-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def copy(folder: Path) -> Copy:
    """Return a copy of this checkout."""
    return make_copy(folder / "one")


@pytest.fixture
def serving() -> Iterator[Callable[[Copy], Dev]]:
    """Return what starts `./dev serve` in a copy and waits for it; stopped afterwards."""
    with ExitStack() as stack:

        def start(copy: Copy) -> Dev:
            dev = copy.start("serve")
            stack.callback(dev.end)
            dev.wait_until_serving()
            return dev

        yield start
