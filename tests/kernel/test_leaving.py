"""A worker that is told to stop loses no connection that was opened to it."""

import asyncio
import socket

import pytest

from service.kernel.leaving import take_the_last


async def test_what_waits_to_be_accepted_is_accepted_and_nobody_new_is_let_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = listening.getsockname()
        with socket.create_connection(where, 5) as early:
            closing = asyncio.create_task(take_the_last(where[1]))
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(socket.create_connection, where, 0.3)
            early.sendall(b"asked")
            assert not closing.done()
            accepted, _ = listening.accept()
            with accepted:
                await asyncio.wait_for(closing, 5)
                listening.close()
                assert accepted.recv(9) == b"asked"
                accepted.sendall(b"answered")
                assert early.recv(9) == b"answered"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where, 5)
