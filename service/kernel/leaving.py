"""Stops a worker without losing requests (Linux only).

On a signal the HTTP server closes idle and new connections at once.  A request that a proxy sends
at that moment is lost, and a proxy may not send a POST twice.  So a worker stops in steps
(`giving_way`).
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.kernel.sockets import accepted, listening

KEPT_SECONDS = 3.0
"""Longer than deploy/nginx keeps an idle connection to an instance open (2 s)."""
LULL_SECONDS = 1.0
"""Time between the last accepted connection and the stop: enough for a handshake and a request."""
_HANDSHAKE_SECONDS = 0.1
"""TCP handshakes that have begun are complete after this time."""
_MOMENT = 0.02


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
    for _, found in listening(port):
        found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NOBODY_NEW)
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    await _until(lambda: not any(_waiting(found) for _, found in listening(port)), LULL_SECONDS)


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
        for number, _ in listening(port):
            os.dup2(nowhere.fileno(), number, inheritable=False)


def _peers(port: int) -> set[object]:
    """Return where this process's connections on a port come from."""
    there: set[object] = set()
    for connection in accepted(port):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            there.add(connection.getpeername())
    return there


def _waiting(one: socket.socket) -> int:
    """Return how many connections wait to be accepted."""
    told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size)
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
