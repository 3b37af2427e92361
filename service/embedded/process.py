"""One `python -m service serve` as a child: for the tests and for bench/, which look inside it."""

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
    """One `python -m service serve` and what it stands on."""

    url: str
    database_url: str
    redis_url: str
    environment: dict[str, str]
    log: Path
    child: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """The main process; workers are its children."""
        return self.child.pid

    def is_running(self) -> bool:
        """Whether the main process lives."""
        return self.child.poll() is None

    def output(self) -> str:
        """Return everything it has written so far, to either stream."""
        return self.log.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Return the process ids of its children that serve."""
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
        """Return once /readyz answers 200; AssertionError with its output when it does not."""
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
        """Kill whatever remains of its group, which is its own."""
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
    """Start the service with this environment; it is stopped on the way out.

    Without `wait` it may not answer yet; `patience` is how many seconds it has.  `module` is what
    serves, with its arguments.
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
    """Return which of some processes holds the other end of our connection from `client_port`.

    All workers listen on one port, and the kernel chooses who accepts: so one opens connections
    until each worker holds one, and asks the kernel whose each is.  The connection must have
    answered once, else it may not be accepted yet.
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
