"""Runs one `python -m service serve` as a child process, for the tests and for bench/."""

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service.embedded.servers import launched

_READY_SECONDS = 30.0
_STOP_SECONDS = 25.0


@dataclass
class Running:
    """One `python -m service serve`, with its servers, environment and log."""

    url: str
    database_url: str
    redis_url: str
    environment: dict[str, str]
    log: Path
    child: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """The id of the main process; the workers are its children."""
        return self.child.pid

    def is_running(self) -> bool:
        """Whether the main process is alive."""
        return self.child.poll() is None

    def output(self) -> str:
        """Return everything written so far to standard output and error."""
        return self.log.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        helper = b"resource_tracker"  # of Python's multiprocessing
        return [
            int(pid) for pid in found if helper not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def cli(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run one command of the service in the same environment."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "service", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    async def ready(self, patience: float = _READY_SECONDS) -> None:
        """Return when /readyz answers 200.  AssertionError with the output when it does not."""
        deadline = time.monotonic() + patience
        while not await asyncio.to_thread(self._is_ready):
            if not self.is_running():
                raise AssertionError(f"the service ended:\n{self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the service is not ready:\n{self.output()}")
            await asyncio.sleep(0.05)

    def _is_ready(self) -> bool:
        where = urlsplit(self.url)
        wire = http.client.HTTPConnection(where.hostname or "", where.port, timeout=2)
        try:
            wire.request("GET", "/readyz")
            return wire.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            wire.close()

    async def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait until the main process is gone, and return its exit status."""
        if self.is_running():
            self.child.send_signal(with_signal)
        deadline = time.monotonic() + _STOP_SECONDS
        while self.is_running() and time.monotonic() < deadline:  # noqa: ASYNC110 - no event to await
            await asyncio.sleep(0.02)
        self._leave_nothing()
        return self.child.wait()

    def _leave_nothing(self) -> None:
        """Kill what is left of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@asynccontextmanager
async def started(
    environment: Mapping[str, str],
    log: Path,
    *,
    wait: bool = True,
    patience: float = _READY_SECONDS,
    module: Sequence[str] = ("service", "serve"),
) -> AsyncIterator[Running]:
    """Start the service with this environment, and stop it when the block ends.

    Waits until it is ready, at most `patience` seconds; without `wait`, not at all.  `module` is
    the Python module to run, with its arguments.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(  # noqa: ASYNC220 - our own program; it returns at once
            launched("self", signal.SIGTERM, sys.executable, "-P", "-m", *module),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    running = Running(
        url=f"http://{environment['AUTH_BIND']}",
        database_url=environment["AUTH_DATABASE_URL"],
        redis_url=environment["AUTH_REDIS_URL"],
        environment=dict(environment),
        log=log,
        child=child,
    )
    try:
        if wait:
            await running.ready(patience)
        yield running
    finally:
        await running.stop()


def worker_serving(url: str, workers: list[int], client_port: int) -> int | None:
    """Return which of these workers holds the other end of our connection from `client_port`.

    All workers listen on one port, and the system chooses which one accepts.  To reach every
    worker, open connections until each worker holds one.  The connection must have answered one
    request before, otherwise it may not be accepted yet.
    """
    here, there = f":{urlsplit(url).port:04X}", f":{client_port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(here) and row[2].endswith(there)}
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for pid in workers:
        with contextlib.suppress(OSError):  # it has just died
            for open_file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(open_file.readlink()) in sockets:
                        return pid
    return None
