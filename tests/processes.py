"""Real processes of the service, on databases of their own.

`async with service(workers=2) as running:` and then `running.url`, `running.cli(...)`.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from service.embedded.checkout import ROOT
from service.embedded.servers import free_port, launched
from tests.servers import cloned_database, redis_database

MASTER_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
"""The master key of every database the tests make."""

_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0


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

    async def ready(self) -> None:
        """Return once /readyz answers 200; AssertionError with its output when it does not."""
        deadline = time.monotonic() + _READY_SECONDS
        async with httpx2.AsyncClient(base_url=self.url, timeout=2) as client:
            while True:
                assert self.is_running(), f"the service ended:\n{self.output()}"
                try:
                    answer = await client.get("/readyz")
                except httpx2.TransportError:
                    pass
                else:
                    if answer.status_code == httpx2.codes.OK:
                        return
                assert time.monotonic() < deadline, f"the service is not ready:\n{self.output()}"
                await asyncio.sleep(0.05)

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
async def service(
    *,
    workers: int = 1,
    policy: str = "",
    env: Mapping[str, str] | None = None,
    database_url: str = "",
    redis_url: str = "",
    wait: bool = True,
) -> AsyncIterator[Running]:
    """Start the service on a free port and, where no address is given, on databases of its own.

    `policy` is the text of the policy file, `env` are more AUTH_* (they win); without `wait` it
    may not answer yet.  It is stopped on the way out.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tesserra-service-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AUTH_")},
            "PYTHONPATH": str(ROOT),
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_WORKERS": str(workers),
            "AUTH_DATABASE_URL": database_url or stack.enter_context(cloned_database()),
            "AUTH_REDIS_URL": redis_url or stack.enter_context(redis_database()),
            "AUTH_MASTER_KEYS": MASTER_KEY,
            "AUTH_DATA_DIR": str(folder),
        }
        if policy:
            (folder / "policy.toml").write_text(policy)
            environment["AUTH_POLICY_FILE"] = str(folder / "policy.toml")
        environment |= env or {}
        log = folder / "log"
        with log.open("wb") as sink:
            child = subprocess.Popen(  # noqa: ASYNC220 - our own program; it returns at once
                launched("self", signal.SIGTERM, sys.executable, "-P", "-m", "service", "serve"),
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
            environment=environment,
            log=log,
            child=child,
        )
        try:
            if wait:
                await running.ready()
            yield running
        finally:
            await running.stop()
