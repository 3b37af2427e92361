"""Ends connections on which nothing happens.

Where the service ends TLS itself, the HTTP server waits without end for whoever has said nothing
yet, or has opened HTTP/2 and asked nothing; each takes one of the connections a worker may have.
The kernel knows when something last came or went, and this asks it (Linux only).
"""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

SILENT_SECONDS = 30.0
"""Longer than the longest silence that is an answer's: a long poll waits 25 s."""
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


def _accepted(port: int) -> Iterator[socket.socket]:
    """Yield this process's connections on a port, each as a duplicate: nobody takes its number."""
    for entry in _SOCKETS.iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            number = os.dup(int(entry.name))
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)
                continue
            with socket.socket(fileno=number) as found:
                if found.family in _INTERNET and found.getsockname()[1] == port:
                    found.getpeername()  # fails for the one that listens
                    yield found


_INTERNET = (socket.AF_INET, socket.AF_INET6)


def _silent_for(connection: socket.socket) -> float:
    """Return for how many seconds nothing was sent or received."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
    sent, received = _TIMES.unpack(told)
    return float(min(sent, received)) / 1000
