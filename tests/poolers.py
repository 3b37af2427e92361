"""A PgBouncer (Debian's package) in front of a PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from service.embedded.launch import NOBODY
from service.embedded.servers import free_port

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needed = pytest.mark.skipif(_PROGRAM is None, reason="no pgbouncer is installed")


class Pooler:
    """One that runs; `configure` changes it while it runs."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        self._folder = folder
        self._server = urlsplit(postgres_url)
        self.port = free_port()
        place = f"{self._server.username}:{self._server.password}@127.0.0.1:{self.port}"
        self.url = urlunsplit(self._server._replace(netloc=place))
        """The address of the database behind it."""

    def configure(self, mode: str, **more: str) -> None:
        """Write its configuration, and have it read while it runs."""
        server = self._server
        (self._folder / "users").write_text(f'"{server.username}" "{server.password}"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "plain",
            "auth_file": str(self._folder / "users"),
            "pool_mode": mode,
            "default_pool_size": "30",
            **more,
        }
        database = server.path.removeprefix("/")
        lines = [
            "[databases]",
            f"{database} = host={server.hostname} port={server.port} dbname={database}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (self._folder / "ini").write_text("\n".join(lines) + "\n")


@contextmanager
def pooler(postgres_url: str, mode: str, **more: str) -> Iterator[Pooler]:
    """Start one in a pool mode, with more of its own settings; it ends on the way out."""
    assert _PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="tesserra-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Pooler(folder, postgres_url)
        made.configure(mode, **more)
        child = subprocess.Popen(
            [_PROGRAM, "-q", folder / "ini"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=NOBODY if os.geteuid() == 0 else None,
        )
        try:
            _await_port(made.port)
            yield made
        finally:
            child.kill()
            child.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "pgbouncer does not listen"
            time.sleep(0.02)
        else:
            return
