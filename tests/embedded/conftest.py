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
def fresh(folder: Path) -> Copy:
    """Return a copy of this checkout that has never run."""
    return make_copy(folder / "fresh")


@pytest.fixture(scope="session")
def data_of_a_first_run() -> Iterator[Path]:
    """Return the .data/ that one `./dev serve` left: a first run takes its time."""
    made = Path(tempfile.mkdtemp(prefix="tesserra-first-run-"))
    made.chmod(0o755)
    first = make_copy(made / "first")
    dev = first.start("serve")
    dev.wait_until_serving()
    dev.end()
    yield first.root / ".data"
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def copy(folder: Path, data_of_a_first_run: Path) -> Copy:
    """Return a copy of this checkout that has run before."""
    return make_copy(folder / "one", data=data_of_a_first_run)


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
