"""Processes of our own: Python modules of this package that are told and tell, line by line."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import msgspec

from service.embedded.checkout import ROOT
from service.embedded.servers import launched

Told = TypeVar("Told")
_encode = msgspec.json.Encoder().encode


class ChildEndedError(Exception):
    """A process of ours ended before its time; what it said went to standard error."""


class Child(Generic[Told]):
    """A running module, and how to talk to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, decoder: "msgspec.json.Decoder[Told]"
    ) -> None:
        self._process = process
        self._decoder = decoder

    def order(self, what: object) -> None:
        """Tell it."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see `child`
        self._process.stdin.write(_encode(what) + b"\n")

    async def told(self) -> Told:
        """Wait for what it says next.  ChildEndedError when it says nothing any more."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe, see `child`
        line = await self._process.stdout.readline()
        if not line:
            raise ChildEndedError(f"a process of the bench ended ({self._process.returncode})")
        return self._decoder.decode(line)


@asynccontextmanager
async def child(module: str, decoder: "msgspec.json.Decoder[Told]") -> AsyncIterator[Child[Told]]:
    """Run `python -m module`; it ends on the way out, and with us however we end."""
    process = await asyncio.create_subprocess_exec(
        *launched("self", signal.SIGKILL, sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        limit=2**24,
        start_new_session=True,  # Ctrl-C is ours
    )
    try:
        yield Child(process, decoder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
