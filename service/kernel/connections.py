"""Closes silent connections, and stops a worker without losing requests.

Silent connections: where the service ends TLS itself, the HTTP server waits forever for a client
that sends nothing, or that opens HTTP/2 and sends no request.  Each such client takes one of the
connections that a worker may have.  The operating system knows when data last went in or out of a
socket, and this module asks it (Linux only).

Stopping: on a signal the HTTP server closes idle and new connections at once.  A request that a
proxy sends at that moment is lost, and a proxy may not send a POST twice.  So a worker stops in
steps (`giving_way`).
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
"""Longer than the longest silence before an answer: a long poll waits 25 s."""
KEPT_SECONDS = 3.0
"""Longer than deploy/nginx keeps an idle connection to an instance open (2 s)."""
LULL_SECONDS = 1.0
"""Time between the last accepted connection and the stop: enough for a handshake and a request."""
_HANDSHAKE_SECONDS = 0.1
"""TCP handshakes that have begun are complete after this time."""
_MOMENT = 0.02
_LOOK_SECONDS = 5.0
_SOCKETS = Path("/proc/self/fd")
_TIMES = struct.Struct("44x I 4x I")
"""Of `struct tcp_info`: milliseconds since data was last sent, and since it was last received."""


@contextlib.asynccontextmanager
async def ending_silent(port: int, seconds: float = SILENT_SECONDS) -> AsyncIterator[None]:
    """While inside, close accepted connections of a port with no data either way for `seconds`."""
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
    """Whether this worker was asked to stop.  From then on every answer closes its connection."""

    begun: bool = False


@contextlib.contextmanager
def giving_way(port: int, leaving: Leaving, *, shared: bool) -> Iterator[None]:
    """While inside, SIGTERM stops this worker in steps, so that no request is lost.

    1. Every answer carries `Connection: close`, until the connections that were open then have
       ended, or were idle for so long that their clients have closed them.
    2. The worker accepts no new connection, and stops when the last ones have their answer.

    With `shared`, other workers accept from the same socket: this worker stops accepting at once.
    SIGINT stops at once, as in the HTTP server; the last step sends it.
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
    """Wait until the connections that are open now have ended, at most `seconds`."""
    there = _peers(port)
    await _until(lambda: not there & _peers(port), seconds)


async def take_the_last(port: int) -> None:
    """Let the system open no new connection, and wait until all open ones are accepted.

    Closing a listening socket resets the connections that wait in it.  A client that connects
    meanwhile gets no answer, tries again after a second and is refused then: it has sent nothing.
    """
    for _, found in _listening(port):
        found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NOBODY_NEW)
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    await _until(lambda: not any(_waiting(found) for _, found in _listening(port)), LULL_SECONDS)


async def _until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until `holds()` is true, at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - the system offers no event for it
                await asyncio.sleep(_MOMENT)


def _stop_accepting(port: int) -> None:
    """Replace this process's listening socket by one that nobody can reach.

    The HTTP server closes that one when it stops.
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
    """Yield this process's sockets on a port, as duplicates: their numbers cannot be reused."""
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
"""Of `struct tcp_info`: `tcpi_unacked`, for a listening socket the length of its queue."""
_SO_ATTACH_FILTER = 26
_DROP_SYN = ctypes.create_string_buffer(
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the flags of the TCP header
            (0x54, 0, 0, 0x12),  # keep SYN and ACK
            (0x15, 0, 1, 0x02),  # SYN alone: a new connection
            (0x06, 0, 0, 0),  # is dropped
            (0x06, 0, 0, 0xFFFFFFFF),  # anything else passes
        )
    )
)
_NOBODY_NEW = struct.pack("HP", 5, ctypes.addressof(_DROP_SYN))
"""A `struct sock_fprog` (Linux, Documentation/networking/filter.rst)."""
