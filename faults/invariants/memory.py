"""I10: a worker's memory is bounded by its hashing permits."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.processes import memory_mib
from faults.report import Report

_HASH_MIB = 19
_SLACK_MIB = 64
_LOOK_SECONDS = 0.05


class MemoryWatch:
    """Looks at workers' memory while something goes on."""

    def __init__(self, report: Report, workers: Callable[[], list[int]]) -> None:
        self._report = report
        self._workers = workers
        self._base: dict[int, float] = {}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Compare with what each had when it was first seen: what stays, adds up."""
        for pid in self._workers():
            self._base.setdefault(pid, memory_mib(pid))
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        bound = (os.cpu_count() or 1) * _HASH_MIB + _SLACK_MIB
        while True:
            for pid, base in self._base.items():
                with contextlib.suppress(OSError):
                    grown = memory_mib(pid) - base
                    self._report.worst("MiB a worker grew by", round(grown, 1))
                    if grown > bound:
                        self._report.violate("I10", f"a worker grew by {grown:.0f} MiB")
                        return
            await asyncio.sleep(_LOOK_SECONDS)
