"""The development servers of one checkout: the folder `.data/`, its lock, and the settings.

The process that holds the lock owns the servers.  The lock file names that process and says where
the servers listen.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.embedded import binaries
from service.embedded.servers import EmbeddedError, Postgres, Valkey

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_BIND = "127.0.0.1:8080"
_LAST_PORT = 65535
_PATIENCE_SECONDS = 60.0


class Checkout:
    """The folder `.data/` and its lock."""

    def __init__(self, data: Path = ROOT / ".data") -> None:
        """Touches no file; `try_lock` does."""
        self.data = data
        self._lock: IO[str] | None = None

    def try_lock(self, verb: str) -> bool:
        """Become the owner of the servers until this process ends; False when another one is."""
        self.data.mkdir(mode=0o711, exist_ok=True)  # the servers may be another user's
        file = os.fdopen(os.open(self.data / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._lock = file
        self.announce(verb, {})
        return True

    def announce(self, verb: str, told: Mapping[str, str]) -> None:
        """Write into the lock file who owns the servers, and the environment of the service."""
        if self._lock is None:
            raise RuntimeError("the lock is not ours")
        self._lock.seek(0)
        self._lock.truncate()
        json.dump({"pid": os.getpid(), "verb": verb, "told": dict(told)}, self._lock)
        self._lock.flush()

    def owner(self) -> tuple[int, str, dict[str, str]]:
        """Return the owner's process id and verb, and the environment it announced."""
        try:
            said = json.loads((self.data / "lock").read_text())
        except (OSError, ValueError):  # it is being written
            return 0, "", {}
        return said["pid"], said["verb"], said["told"]

    def reset(self) -> None:
        """Delete the folder.  EmbeddedError while a process uses it."""
        if not self.data.exists():
            return
        if not self.try_lock("reset"):
            pid, verb, _ = self.owner()
            raise EmbeddedError(f"./dev {verb} is using it (process {pid}): stop that first")
        shutil.rmtree(self.data)

    def await_serve(self) -> dict[str, str] | None:
        """Return the environment that a running `serve` announced; None when we got the lock."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.try_lock("cli"):
                return None
            _, verb, told = self.owner()
            if verb == "serve" and told:
                return told
            time.sleep(0.1)
        pid, verb, _ = self.owner()
        raise EmbeddedError(f"./dev {verb} (process {pid}) has kept the servers for a minute")


def is_given(environment: Mapping[str, str], name: str) -> bool:
    """Whether the user has set this variable, or the one with `_FILE`."""
    return name in environment or f"{name}_FILE" in environment


@dataclass(frozen=True)
class Listening:
    """Where the service listens, and whether by HTTP or HTTPS."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Listening":
        """Read the address from the settings.  EmbeddedError when it is wrong."""
        bind = environment.get("AUTH_BIND", DEFAULT_BIND)
        if file := environment.get("AUTH_BIND_FILE"):
            try:
                bind = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as exc:
                reason = type(exc).__name__
                raise EmbeddedError(f"AUTH_BIND_FILE: it cannot be read ({reason})") from None
        found = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):([1-9][0-9]{0,4})", bind, re.ASCII)
        if found is None or int(found[2]) > _LAST_PORT:
            raise EmbeddedError("AUTH_BIND must be host:port")
        scheme = "https" if is_given(environment, "AUTH_TLS_CERT") else "http"
        return cls(scheme, found[1].strip("[]"), int(found[2]))

    @property
    def url(self) -> str:
        """The URL to type: browsers and curl store secure cookies for `localhost`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = "localhost" if self.host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104
        return f"{self.scheme}://{host}:{self.port}"


def settings(given: Mapping[str, str], data: Path) -> dict[str, str]:
    """Return the environment of the service in a checkout.  The user's variables override ours.

    The addresses of the servers are added later.
    """
    listening = Listening.of(given)
    defaults = {
        "AUTH_BIND": DEFAULT_BIND,
        "AUTH_ISSUER": f"{listening.scheme}://localhost:{listening.port}",
        "AUTH_DATA_DIR": str(data / "service"),
    }
    if not is_given(given, "AUTH_MASTER_KEYS"):
        defaults["AUTH_MASTER_KEYS_FILE"] = str(_master_key(data))
    ours = {name: value for name, value in defaults.items() if not is_given(given, name)}
    return {**given, **ours, "PYTHONPATH": str(ROOT)}


def _master_key(data: Path) -> Path:
    """Return the file of this checkout's master key: 32 random bytes, base64url (Fernet's form)."""
    import base64  # noqa: PLC0415 - first run only

    path = data / "master.key"
    if not path.exists():
        key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
        aside.rename(path)
    return path


@contextmanager
def running_servers(environment: dict[str, str], data: Path) -> Iterator[list[Postgres | Valkey]]:
    """Start the servers that the user gave no address of; add their addresses to `environment`.

    When the block ends, they are stopped in the reverse order.
    """
    servers: list[Postgres | Valkey] = []
    wanted: list[tuple[str, Postgres | Valkey]] = []
    if not is_given(environment, "AUTH_DATABASE_URL"):
        wanted.append(("AUTH_DATABASE_URL", postgres(data / "postgres")))
    if not is_given(environment, "AUTH_REDIS_URL"):
        wanted.append(("AUTH_REDIS_URL", valkey(data / "valkey")))
    try:
        for variable, server in wanted:
            first_time = "" if server.home.exists() else " for the first time"
            print(f"Starting {server.title}{first_time} ...", flush=True)
            servers.append(server)
            server.log.unlink(missing_ok=True)
            server.start()
            environment[variable] = server.url
        yield servers
    finally:
        for server in reversed(servers):
            server.stop()


def postgres(home: Path, options: Mapping[str, str] | None = None) -> Postgres:
    """Return a PostgreSQL: the wheel's, or else an installed one.  EmbeddedError: none found."""
    found = binaries.first(binaries.wheel_postgres, binaries.installed_postgres)
    if found is None:
        raise EmbeddedError(
            "no PostgreSQL: no wheel of it for this platform and no `postgres` on PATH;"
            " install one, or set AUTH_DATABASE_URL"
        )
    return Postgres(home, found, options)


def valkey(home: Path, databases: int = 16) -> Valkey:
    """Return a Valkey: the wheel's, or else an installed Valkey or Redis.  EmbeddedError."""
    found = binaries.first(binaries.wheel_redis, binaries.installed_redis)
    if found is None:
        raise EmbeddedError(
            "no Valkey: no wheel of it for this platform and no `redis-server` on PATH;"
            " install one, or set AUTH_REDIS_URL"
        )
    return Valkey(home, found, databases)
