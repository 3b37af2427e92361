"""Closes silent connections (Linux only).

Where the service ends TLS itself, the HTTP server waits forever for a client that sends nothing, or
that opens HTTP/2 and sends no request.  Each such client takes one of the connections that a worker
may have.  The operating system knows when data last went in or out of a socket.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from service.kernel.sockets import accepted

SILENT_SECONDS = 30.0
"""Longer than the longest silence before an answer: a long poll waits 25 s."""
_LOOK_SECONDS = 5.0
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
        for connection in accepted(port):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if _silent_for(connection) > seconds:
                    connection.shutdown(socket.SHUT_RDWR)


def _silent_for(connection: socket.socket) -> float:
    """Return for how many seconds nothing was sent or received."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
    sent, received = _TIMES.unpack(told)
    return float(min(sent, received)) / 1000
