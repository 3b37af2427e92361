"""What we rely on inside Granian is as it was when we looked.

It has no words for sharing a socket between workers, for how many deaths are too many, or for a
signal that is ours in a worker.  So three modules use what is not promised.  A test here that fails
is no fault of Granian's: read what changed, then the module that relies on it, run the tests that
are named, and write the new digest down.
"""

import asyncio
import hashlib
import importlib.metadata
import inspect
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from granian import _signals
from granian._granian import SocketHolder
from granian.constants import Interfaces
from granian.server import MPServer
from granian.server.common import AbstractServer
from granian.server.mp import WorkerProcess

from service.cli.server import _DEATHS, _Respawned, _Sharing

SHARING = "service/cli/server.py: _Sharing (tests/deploy/test_own_tls.py)"
RESPAWNED = "service/cli/server.py: _Respawned (tests/system/test_processes.py)"
LEAVING = "service/kernel/leaving.py: giving_way (tests/deploy/test_rolling_restart.py)"
STARTING = "service/app.py: create_app, _heed_signals (tests/system/test_processes.py)"


class Seen(NamedTuple):
    """A part of Granian, as it was seen, and what relies on it."""

    part: Callable[..., Any]
    digest: str
    relies: tuple[str, ...]


SEEN = {
    "AbstractServer._init_shared_socket": Seen(
        AbstractServer._init_shared_socket, "70065b3b5b1ccb09", (SHARING,)
    ),
    "MPServer._init_shared_socket": Seen(
        MPServer._init_shared_socket, "731566d844b99046", (SHARING,)
    ),
    "MPServer._drop_shared_socket": Seen(
        MPServer._drop_shared_socket, "79f687b61148af24", (SHARING,)
    ),
    "MPServer._spawn_worker": Seen(MPServer._spawn_worker, "95678bb4ea9f4490", (SHARING,)),
    "WorkerProcess.wrap_target": Seen(
        WorkerProcess.wrap_target, "ea738c7d416e2f6f", (SHARING, STARTING)
    ),
    "AbstractServer._serve_loop": Seen(
        AbstractServer._serve_loop, "2244568c5945bace", (RESPAWNED,)
    ),
    "AbstractServer._respawn_workers": Seen(
        AbstractServer._respawn_workers, "268dbe745737d40f", (RESPAWNED, LEAVING)
    ),
    "AbstractServer._reload": Seen(
        AbstractServer._reload, "a12bb7ef8d155ac5", (RESPAWNED, SHARING)
    ),
    "MPServer._spawn_asgi_lifespan_worker": Seen(
        MPServer._spawn_asgi_lifespan_worker, "c808618d6a5e3bc0", (LEAVING, STARTING)
    ),
    "_signals.set_loop_signals": Seen(
        _signals.set_loop_signals, "9c21dd211f412b46", (LEAVING, STARTING)
    ),
}


def test_the_version_is_one_that_was_looked_at() -> None:
    version = importlib.metadata.version("granian")
    assert version.startswith("2.8."), (
        f"Granian {version}: its compiled part may behave otherwise, too.  Look at all of"
        f" {SHARING}; {RESPAWNED}; {LEAVING}; {STARTING}, and raise the bound in pyproject.toml"
    )


@pytest.mark.parametrize("name", SEEN)
def test_a_part_is_as_it_was(name: str) -> None:
    seen = SEEN[name]
    source = " ".join(inspect.getsource(inspect.unwrap(seen.part)).split())
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert digest == seen.digest, (
        f"granian's {name} has changed.  These rely on it: {'; '.join(seen.relies)}.  When they are"
        f" right with what is there now, its digest here is {digest}"
    )


def test_a_shared_socket_is_handed_on_as_granian_hands_on_its_own(tmp_path: Path) -> None:
    """Granian itself shares a Unix socket between workers, and gives each one of its own on TCP."""
    given: Any = {"target": "tests:app", "interface": Interfaces.ASGI}
    theirs: Any = MPServer(**given, uds=tmp_path / "shared")
    ours: Any = _Sharing(**given, address="127.0.0.1", port=0)
    for server in (theirs, ours):
        server._init_shared_socket()
    try:
        assert vars(ours).keys() == vars(theirs).keys(), SHARING
        for server in (theirs, ours):
            assert server._ssp is None, SHARING
            assert isinstance(server._shd, SocketHolder), SHARING
            assert isinstance(server._sso, socket.socket), SHARING
            assert server._shd.get_fd() == server._sso.fileno(), SHARING
        assert (theirs._shd.is_uds(), ours._shd.is_uds()) == (True, False)
        with socket.create_connection(ours._sso.getsockname(), 5):
            assert ours._sso.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    finally:
        for server in (theirs, ours):
            server._drop_shared_socket()
    assert theirs._sso is ours._sso is None


def test_granian_asks_for_deaths_as_we_answer() -> None:
    """`_serve_loop` ends everything when a worker died within 5.5 s of `get(worker, 0)`."""
    deaths = _Respawned()
    for death in range(_DEATHS):
        now = time.monotonic()
        hopeless = now - deaths.get(0, 0) <= 5.5
        assert not hopeless, f"given up at death {death}"
        deaths.clear()
        deaths[0] = now
    assert time.monotonic() - deaths.get(0, 0) <= 5.5
    assert time.monotonic() - deaths.get(1, 0) > 5.5


async def test_a_signal_s_handler_in_a_worker_is_the_last_one_set() -> None:
    """Granian sets its own before the application starts; SIGTERM is ours from then on."""
    loop = asyncio.get_running_loop()
    signals: Any = _signals
    theirs = signals.set_loop_signals(loop)
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    try:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(told.wait(), 5)
    finally:
        for number in signals._get_signals():
            loop.remove_signal_handler(number)
    assert theirs is not None
