"""Ends connections on which nothing happens, and lets a worker end without cutting any that begin.

Where the service ends TLS itself, the HTTP server waits without end for whoever has said nothing
yet, or has opened HTTP/2 and asked nothing; each takes one of the connections a worker may have.
The kernel knows when something last came or went, and this asks it (Linux only).

Told to stop, the server closes at once whatever has not asked yet, and that is also who is in the
middle of a handshake.  So a worker first takes no new connection, and stops a moment later.
"""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

SILENT_SECONDS = 30.0
"""Longer than the longest silence that is an answer's: a long poll waits 25 s."""
LULL_SECONDS = 1.0
"""From the last connection taken to the stop: long enough for a handshake and a request."""
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


@contextlib.contextmanager
def giving_way(port: int, seconds: float = LULL_SECONDS) -> Iterator[None]:
    """While inside, a SIGTERM first ends the taking of connections, and only then the worker.

    Whoever waits to be accepted is accepted by another worker, if they share the socket.  SIGINT
    stops at once, as the HTTP server has it; it is what ends this.
    """
    loop = asyncio.get_running_loop()

    def give_way() -> None:
        _stop_accepting(port)
        loop.call_later(seconds, os.kill, os.getpid(), signal.SIGINT)

    loop.add_signal_handler(signal.SIGTERM, give_way)
    yield


def _stop_accepting(port: int) -> None:
    """Put a socket that nobody can reach in the place of this process's listening one.

    Closing it is up to the HTTP server, which does so when it stops.
    """
    with socket.socket(socket.AF_UNIX) as nowhere:
        nowhere.bind("")  # Linux gives it a name of its own, in no folder
        nowhere.listen()
        nowhere.setblocking(False)
        for number, found in _sockets(port):
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                os.dup2(nowhere.fileno(), number, inheritable=False)


def _accepted(port: int) -> Iterator[socket.socket]:
    """Yield this process's connections on a port."""
    for _, found in _sockets(port):
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield found


def _sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield this process's sockets on a port, each as a duplicate: nobody takes its number."""
    for entry in list(_SOCKETS.iterdir()):
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
