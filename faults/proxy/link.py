"""A small TCP proxy: forwards, delays, swallows, cuts."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

_PIECE = 2**16


class Eyes(Protocol):
    """What looks at the bytes of one connection; each may wait before it gives them on."""

    def outward(self, piece: bytes) -> AsyncIterator[bytes]:
        """Give on what goes to the server."""
        ...

    def inward(self, piece: bytes) -> AsyncIterator[bytes]:
        """Give on what comes from the server."""
        ...


class Pair:
    """One connection of the service and its other half, to the server."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._near = near
        self._far = far

    def near_port(self) -> int:
        """Return the port the service connects from."""
        peer = self._near.get_extra_info("peername")
        return int(peer[1]) if peer else 0

    def reset(self) -> None:
        """Cut both ways at once, as a firewall or a dead host would (RST)."""
        for writer in (self._near, self._far):
            _reset(writer)

    def half_close(self) -> None:
        """Say the server will say no more, and go on listening."""
        with contextlib.suppress(OSError, RuntimeError):
            self._near.write_eof()


class Proxy:
    """Listens on loopback before a server.  Attributes take effect on what is under way, too."""

    def __init__(self, port: int, eyes: Callable[[Pair], Eyes] | None = None) -> None:
        """`port` is the server's; `eyes` are made for each connection."""
        self.delay = 0.0
        """Seconds that every piece is late, each way."""
        self.swallowing = False
        """Whether bytes go in and nothing comes out: a host that is gone without a word."""
        self.refusing = False
        """Whether new connections are cut at once."""
        self.pairs: set[Pair] = set()
        self.port = 0
        self._server_port = port
        self._eyes = eyes

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Proxy"]:
        """Listen; everything is cut on the way out."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.reset_all()

    def reset_all(self) -> int:
        """Cut everything that is open; return how much that was."""
        pairs = list(self.pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def half_close_all(self) -> int:
        """Half-close everything that is open; return how much that was."""
        pairs = list(self.pairs)
        for pair in pairs:
            pair.half_close()
        return len(pairs)

    def heal(self) -> None:
        """Behave."""
        self.delay, self.swallowing, self.refusing = 0.0, False, False

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(near)
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _reset(near)
            return
        pair = Pair(near, far)
        eyes = self._eyes(pair) if self._eyes else None
        self.pairs.add(pair)
        ways = [
            asyncio.ensure_future(self._pump(reader, far, eyes.outward if eyes else None)),
            asyncio.ensure_future(self._pump(far_reader, near, eyes.inward if eyes else None)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pairs.discard(pair)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            near.close()
            far.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes], AsyncIterator[bytes]] | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.swallowing:
                    continue
                if look is None:
                    writer.write(piece)
                else:
                    async for part in look(piece):
                        writer.write(part)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError, AttributeError):
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
