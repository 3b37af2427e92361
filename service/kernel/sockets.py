"""This process's own sockets on a port, as the operating system lists them (Linux only)."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

_SOCKETS = Path("/proc/self/fd")
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def listening(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield the sockets on which this process takes connections on a port."""
    for number, found in _sockets(port):
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield number, found


def accepted(port: int) -> Iterator[socket.socket]:
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
