"""Floors that are no HTTP: what hashing alone, and PostgreSQL alone, can do here.

`python -m bench.floor`: orders on standard input, a `Reached` for each on standard output.
"""

import asyncio
import hashlib
import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import argon2
import asyncpg
import msgspec
from msgspec import Struct
from tesserra_verifier import Verifier

from service.kernel.passwords import HashParameters

_ROTATE = """
UPDATE auth_families
   SET generation = generation + 1, token_hash = $3, rotated_at = clock_timestamp()
 WHERE handle_hash = $1 AND generation = $2 AND status = 'live'
RETURNING generation, session_id
"""


class Hashes(Struct, frozen=True, tag="hashes"):
    """Verify one password over and over, in as many threads as there are cores."""

    seconds: float


class Rotations(Struct, frozen=True, tag="rotations"):
    """Rotate families, one statement and one commit each, a connection after another's answer."""

    seconds: float
    database_url: str
    connections: int
    handle_hashes: list[bytes]


class Verifications(Struct, frozen=True, tag="verifications"):
    """Verify tokens over and over, with the library that other services install."""

    seconds: float
    url: str
    client_id: str
    client_secret: str
    tokens: list[str]


class Reached(Struct, frozen=True):
    """How often, in what time."""

    times: int
    seconds: float


Order: TypeAlias = Hashes | Rotations | Verifications


async def hashes(order: Hashes) -> Reached:
    """Hash."""
    given = HashParameters()
    hasher = argon2.PasswordHasher(given.passes, given.memory_kib, given.lanes)
    stored = hasher.hash("correct unicorn paperclip")
    threads = os.cpu_count() or 1
    began = time.monotonic()

    def loop() -> int:
        times = 0
        while time.monotonic() - began < order.seconds:
            hasher.verify(stored, "correct unicorn paperclip")
            times += 1
        return times

    with ThreadPoolExecutor(threads) as executor:
        running = asyncio.get_running_loop()
        done = await asyncio.gather(
            *(running.run_in_executor(executor, loop) for _ in range(threads))
        )
    return Reached(sum(done), time.monotonic() - began)


async def rotations(order: Rotations) -> Reached:
    """Rotate."""
    opened = [await asyncpg.connect(order.database_url) for _ in range(order.connections)]
    rows = await opened[0].fetch(
        "SELECT handle_hash, generation FROM auth_families WHERE handle_hash = ANY($1)",
        order.handle_hashes,
    )
    known: dict[bytes, int] = {row["handle_hash"]: row["generation"] for row in rows}
    began = time.monotonic()

    async def loop(mine: int) -> int:
        times = 0
        handles = order.handle_hashes[mine :: order.connections]
        while time.monotonic() - began < order.seconds:
            handle = handles[times % len(handles)]
            successor = hashlib.sha256(handle + times.to_bytes(8)).digest()
            row = await opened[mine].fetchrow(_ROTATE, handle, known[handle], successor)
            if row is None:
                raise LookupError("a family did not rotate")
            known[handle] = row["generation"]
            times += 1
        return times

    done = await asyncio.gather(*(loop(mine) for mine in range(order.connections)))
    reached = Reached(sum(done), time.monotonic() - began)
    for connection in opened:
        await connection.close()
    return reached


async def verifications(order: Verifications) -> Reached:
    """Verify.  What the library raises when a token is not good ends the process."""
    issuer = order.url.replace("127.0.0.1", "localhost")
    opened = Verifier(
        issuer, issuer, order.client_id, order.client_secret, base_url=order.url, page=1000
    )
    async with opened as verifier:
        times = 0
        tokens = itertools.cycle(order.tokens)
        began = time.monotonic()
        while time.monotonic() - began < order.seconds:
            for token in itertools.islice(tokens, 100):
                await verifier.verify(token)
            times += 100
            await asyncio.sleep(0)  # its background tasks want their turn
        return Reached(times, time.monotonic() - began)


async def main() -> None:
    """Do each order, in turn."""
    reader = asyncio.StreamReader(limit=2**26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(Order)
    while line := await reader.readline():
        match decoder.decode(line):
            case Hashes() as order:
                reached = await hashes(order)
            case Rotations() as order:
                reached = await rotations(order)
            case Verifications() as order:
                reached = await verifications(order)
        sys.stdout.buffer.write(msgspec.json.encode(reached) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
