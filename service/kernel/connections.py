"""Ends connections on which nothing happens, and lets a worker end without cutting any that begin.

Where the service ends TLS itself, the HTTP server waits without end for whoever has said nothing
yet, or has opened HTTP/2 and asked nothing; each takes one of the connections a worker may have.
The kernel knows when something last came or went, and this asks it (Linux only).

Told to stop, the HTTP server closes at once what is idle and what has not asked yet.  A request
that a proxy sends at that moment is lost, and a proxy may not send a POST twice.  So a worker
leaves in steps (`giving_way`).
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SILENT_SECONDS = 30.0
"""Longer than the longest silence that is an answer's: a long poll waits 25 s."""
KEPT_SECONDS = 3.0
"""Longer than deploy/nginx keeps an idle connection to an instance (2 s)."""
LULL_SECONDS = 1.0
"""From the last connection taken to the stop: long enough for a handshake and a request."""
_HANDSHAKE_SECONDS = 0.1
"""What is being opened with the other side is open by then."""
_MOMENT = 0.02
_LOOK_SECONDS = 5.0
_SOCKETS = Path("/proc/self/fd")
_TIMES = struct.Struct("44x I 4x I")
"""Of `struct tcp_info`: milliseconds since data was last sent, and since it was last received."""


@contextlib.asynccontextmanager
async def ending_silent(port: int, seconds: float = SILENT_SECONDS) -> AsyncIterator[None]:
    """While inside, end what was accepted on a port and is silent for so long, both ways."""
    watch = asyncio.create_task(_watch(port, seconds), name="connections")
    try:
        yield
    finally:
        watch.cancel()


async def _watch(port: int, seconds: float) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for connection in _accepted(port):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if _silent_for(connection) > seconds:
                    connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Leaving:
    """Whether this worker was told to stop.  From then on each answer ends its connection."""

    begun: bool = False


@contextlib.contextmanager
def giving_way(port: int, leaving: Leaving, *, shared: bool) -> Iterator[None]:
    """While inside, a SIGTERM ends this worker in steps, so that no request is lost.

    First it says `Connection: close` in every answer, until the connections of before are used up
    or were idle for so long that their owners have closed them.  Then it takes no new connection,
    and stops when the last ones have their answer.  `shared`: other workers take connections from
    the same socket, so it gives that up first.  SIGINT stops at once, as the HTTP server has it; it
    is what ends this.
    """
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def give_way() -> None:
        if not leaving.begun:
            leaving.begun = True
            tasks.add(loop.create_task(_give_way(port, shared=shared), name="giving way"))

    loop.add_signal_handler(signal.SIGTERM, give_way)
    yield


async def _give_way(port: int, *, shared: bool) -> None:
    try:
        if not shared:
            await _until_gone(port, KEPT_SECONDS)
            await take_the_last(port)
        _stop_accepting(port)
        await _until_gone(port, LULL_SECONDS)
    finally:
        os.kill(os.getpid(), signal.SIGINT)


async def _until_gone(port: int, seconds: float) -> None:
    """Wait until the connections that there are now have ended, or so long."""
    there = _peers(port)
    await _until(lambda: not there & _peers(port), seconds)


async def take_the_last(port: int) -> None:
    """Have the kernel open no new connection, and wait until those that are open were accepted.

    A closed listening socket resets what waits in it.  Who asks to connect meanwhile is not
    answered, asks again after a second, and is refused then: nothing of theirs was sent.
    """
    for _, found in _listening(port):
        found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NOBODY_NEW)
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    await _until(lambda: not any(_waiting(found) for _, found in _listening(port)), LULL_SECONDS)


async def _until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, or so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - the kernel tells of no event
                await asyncio.sleep(_MOMENT)


def _stop_accepting(port: int) -> None:
    """Put a socket that nobody can reach in the place of this process's listening one.

    Closing it is up to the HTTP server, which does so when it stops.
    """
    with socket.socket(socket.AF_UNIX) as nowhere:
        nowhere.bind("")  # Linux gives it a name of its own, in no folder
        nowhere.listen()
        nowhere.setblocking(False)
        for number, _ in _listening(port):
            os.dup2(nowhere.fileno(), number, inheritable=False)


def _listening(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield the sockets on which this process takes connections on a port."""
    for number, found in _sockets(port):
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield number, found


def _peers(port: int) -> set[object]:
    """Return where this process's connections on a port come from."""
    there: set[object] = set()
    for connection in _accepted(port):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            there.add(connection.getpeername())
    return there


def _accepted(port: int) -> Iterator[socket.socket]:
    """Yield this process's connections on a port."""
    for _, found in _sockets(port):
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield found


def _sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield this process's sockets on a port, each as a duplicate: nobody takes its number."""
    for entry in list(_SOCKETS.iterdir()) if _SOCKETS.is_dir() else ():
        with contextlib.suppress(OSError):  # closed meanwhile
            number = os.dup(int(entry.name))
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)
                continue
            with socket.socket(fileno=number) as found:
                if found.family in _INTERNET and found.getsockname()[1] == port:
                    yield int(entry.name), found


_INTERNET = (socket.AF_INET, socket.AF_INET6)


def _silent_for(connection: socket.socket) -> float:
    """Return for how many seconds nothing was sent or received."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
    sent, received = _TIMES.unpack(told)
    return float(min(sent, received)) / 1000


def _waiting(listening: socket.socket) -> int:
    """Return how many connections wait to be accepted."""
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size)
    (waiting,) = _QUEUE.unpack(told)
    return int(waiting)


_QUEUE = struct.Struct("24x I")
"""Of `struct tcp_info`: `tcpi_unacked`, which is this where a socket listens."""
_SO_ATTACH_FILTER = 26
_DROP_SYN = ctypes.create_string_buffer(
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the flags of the TCP header
            (0x54, 0, 0, 0x12),  # of them SYN and ACK
            (0x15, 0, 1, 0x02),  # SYN alone: somebody new
            (0x06, 0, 0, 0),  # is dropped
            (0x06, 0, 0, 0xFFFFFFFF),  # anything else passes
        )
    )
)
_NOBODY_NEW = struct.pack("HP", 5, ctypes.addressof(_DROP_SYN))
"""A `struct sock_fprog` (Linux, Documentation/networking/filter.rst)."""
