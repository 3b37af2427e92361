"""What every test has: real servers (tests/servers.py), acquired once and named in the header."""

from collections.abc import Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from service.embedded.servers import EmbeddedError
from tests import servers

pytest_plugins = ["tests.world"]

# A busy machine is no fault of the code under test; how long things take is measured elsewhere.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

_open = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the servers."""
    parser.addoption(
        "--servers",
        default="auto",
        choices=["auto", *servers.KINDS, "none"],
        help="what to test against (default: the first of these that can be had)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Acquire the servers in the controller; workers are told by their environment."""
    wanted = config.getoption("--servers")
    if wanted == "none" or hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        _open.enter_context(servers.acquired(wanted))
    except (servers.UnavailableError, EmbeddedError) as exc:
        raise pytest.UsageError(str(exc)) from exc


def pytest_unconfigure() -> None:
    """Stop what was started."""
    _open.close()


def pytest_report_header() -> str:
    """Say what the tests run against."""
    try:
        return f"servers: {servers.told().said}"
    except servers.UnavailableError:
        return "servers: none"


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Return the address of the worker's own migrated database."""
    with servers.cloned_database() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return the address of the worker's own Redis database, empty at the start."""
    with servers.redis_database() as url:
        yield url
