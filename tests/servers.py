"""The real servers the tests run against: found or started once, shared by all workers.

In this order: addresses given (AUTH_TEST_DATABASE_URL and AUTH_TEST_REDIS_URL, or AUTH_DATABASE_URL
and AUTH_REDIS_URL), containers when a Docker engine answers, installed programs, the wheels.
`pytest --servers=given|docker|installed|wheels|none` asks for one of them.
"""

import asyncio
import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import asyncpg
import redis

from service.embedded import binaries
from service.embedded.schema import migrate
from service.embedded.servers import EmbeddedError, Postgres, Valkey

Answer = TypeVar("Answer")

KINDS = ("given", "docker", "installed", "wheels")
VARIABLE = "TESSERRA_TEST_SERVERS"
"""How the controller tells its workers."""

_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "300",
    "max_wal_size": "2GB",
}
_REDIS_DATABASES = 64


@dataclass
class Servers:
    """Where they are.  Plain values: it travels to the workers as JSON."""

    kind: str
    postgres_url: str
    redis_url: str
    redis_databases: list[int]
    template: str = ""
    said: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(4))


class UnavailableError(Exception):
    """Servers of a kind cannot be had here."""


# --- once, in the controller ------------------------------------------------------------------


@contextmanager
def acquired(wanted: str) -> Iterator[Servers]:
    """Find or start servers, migrate a template, tell the workers; stop and drop on the way out."""
    given = _given_addresses()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tesserra-tests-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = _first_of(KINDS if wanted == "auto" else (wanted,), given, folder, stack)
        servers.said = run(_describe(servers))
        servers.template = f"tesserra_test_{servers.token}_template"
        run(_administer(servers, f"CREATE DATABASE {servers.template}"))
        if servers.kind == "given":
            stack.callback(lambda: run(_drop_all(servers)))
        migrate(with_database(servers.postgres_url, servers.template), folder)
        os.environ[VARIABLE] = json.dumps(asdict(servers))
        stack.callback(os.environ.pop, VARIABLE, None)
        yield servers


def _given_addresses() -> tuple[str, str] | None:
    """Take the addresses out of the environment: none may reach a service under test."""
    names = [
        ("AUTH_TEST_DATABASE_URL", "AUTH_TEST_REDIS_URL"),
        ("AUTH_DATABASE_URL", "AUTH_REDIS_URL"),
    ]
    taken = [tuple(os.environ.pop(name, "") for name in pair) for pair in names]
    for postgres_url, redis_url in taken:
        if postgres_url and redis_url:
            return postgres_url, redis_url
    return None


def _first_of(
    kinds: tuple[str, ...], given: tuple[str, str] | None, folder: Path, stack: ExitStack
) -> Servers:
    why: list[str] = []
    for kind in kinds:
        try:
            match kind:
                case "given":
                    return _given(given)
                case "docker":
                    return _in_docker(stack)
                case _:
                    return _of_our_own(kind, folder, stack)
        except (UnavailableError, EmbeddedError) as exc:
            why.append(f"{kind}: {exc}")
    raise UnavailableError("no servers to test against: " + "; ".join(why))


def _given(addresses: tuple[str, str] | None) -> Servers:
    if addresses is None:
        raise UnavailableError("AUTH_TEST_DATABASE_URL and AUTH_TEST_REDIS_URL are not set")
    postgres_url, redis_url = addresses
    with redis.Redis.from_url(redis_url) as client:
        total = int(client.config_get("databases")["databases"])
    empty = [number for number in range(total) if _is_empty(redis_url, number)]
    if len(empty) < 2:
        raise UnavailableError("the Redis given has no two empty databases, and tests flush theirs")
    return Servers("given", postgres_url, redis_url, empty)


def _is_empty(redis_url: str, number: int) -> bool:
    with redis.Redis.from_url(with_database(redis_url, str(number))) as client:
        return bool(client.dbsize() == 0)


def _in_docker(stack: ExitStack) -> Servers:
    if not docker_answers():
        raise UnavailableError("no Docker engine answers")
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - slow, rarely used
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415

    try:
        settings = " ".join(f"-c {name}={value}" for name, value in _FAST.items())
        postgres = PostgresContainer("postgres:16-alpine", driver=None)
        stack.enter_context(postgres.with_command(f"postgres {settings}"))
        valkey = RedisContainer("redis:7-alpine")
        command = f"redis-server --save '' --databases {_REDIS_DATABASES}"
        stack.enter_context(valkey.with_command(command))
    except Exception as exc:  # an image that cannot be pulled is no reason to fail
        raise UnavailableError(f"{type(exc).__name__}: {exc}") from exc
    address = f"{valkey.get_container_host_ip()}:{valkey.get_exposed_port(6379)}"
    return Servers(
        "docker",
        postgres.get_connection_url(),
        f"redis://{address}/0",
        list(range(_REDIS_DATABASES)),
    )


def docker_answers() -> bool:
    """GET /_ping, half a second."""
    where = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    try:
        with _dial(where) as wire:
            wire.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = http.client.HTTPResponse(wire)
            answer.begin()
            return answer.status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def _dial(where: SplitResult) -> socket.socket:
    if where.scheme != "unix":
        return socket.create_connection((where.hostname or "", where.port or 2375), 0.5)
    wire = socket.socket(socket.AF_UNIX)
    wire.settimeout(0.5)
    try:
        wire.connect(where.path)
    except OSError:
        wire.close()
        raise
    return wire


def _of_our_own(kind: str, folder: Path, stack: ExitStack) -> Servers:
    postgres, valkey = _postgres(kind, folder / kind, _FAST), _valkey(kind, folder / kind)
    with ExitStack() as attempt:
        for server in (postgres, valkey):
            attempt.callback(server.stop)
            server.start()
        stack.push(attempt.pop_all())
    return Servers(kind, postgres.url, valkey.url, list(range(_REDIS_DATABASES)))


def _postgres(kind: str, folder: Path, options: dict[str, str]) -> Postgres:
    wheel = kind == "wheels"
    found = binaries.wheel_postgres() if wheel else binaries.installed_postgres()
    if found is None:
        raise UnavailableError("no PostgreSQL")
    return Postgres(folder / "postgres", found, options)


def _valkey(kind: str, folder: Path) -> Valkey:
    found = binaries.wheel_redis() if kind == "wheels" else binaries.installed_redis()
    if found is None:
        raise UnavailableError("no Redis")
    return Valkey(folder / "redis", found, _REDIS_DATABASES)


async def _describe(servers: Servers) -> str:
    connection = await asyncpg.connect(servers.postgres_url)
    version = await connection.fetchval("SHOW server_version")
    await connection.close()
    with redis.Redis.from_url(servers.redis_url) as client:
        about = client.info("server")
    valkey = about.get("valkey_version")
    cache = f"Valkey {valkey}" if valkey else f"Redis {about['redis_version']}"
    return f"PostgreSQL {version.split()[0]} and {cache} ({servers.kind})"


# --- in each worker ---------------------------------------------------------------------------


def told() -> Servers:
    """Return the servers the controller acquired."""
    if VARIABLE not in os.environ:
        raise UnavailableError("this test needs servers, and pytest runs with --servers=none")
    return Servers(**json.loads(os.environ[VARIABLE]))


@contextmanager
def cloned_database() -> Iterator[str]:
    """A migrated database of one's own (some 40 ms), as an address; dropped afterwards."""
    servers = told()
    name = f"tesserra_test_{servers.token}_{secrets.token_hex(6)}"
    run(
        _administer(
            servers, f"CREATE DATABASE {name} TEMPLATE {servers.template} STRATEGY FILE_COPY"
        )
    )
    try:
        yield with_database(servers.postgres_url, name)
    finally:
        run(_drop(servers, name))


_taken: set[int] = set()


@contextmanager
def redis_database() -> Iterator[str]:
    """A Redis database of one's own, empty, as an address; flushed afterwards."""
    servers = told()
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    free = [n for n in servers.redis_databases[worker::workers] if n not in _taken]
    if not free:
        raise UnavailableError("no empty Redis database is left")
    url = with_database(servers.redis_url, str(free[0]))
    _taken.add(free[0])
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        try:
            yield url
        finally:
            client.flushdb()
            _taken.discard(free[0])


@contextmanager
def private_postgres(*, migrated: bool = True, **more: str) -> Iterator[Postgres]:
    """A PostgreSQL that a test may `kill()`, `stop()` and `start()` again on the same port.

    What it has committed survives `kill()`; `more` are its settings.  Call these in the main
    thread: a server ends with the thread that started it.
    """
    options = {**_FAST, "synchronous_commit": "on", **more}
    with _private_folder() as folder:
        server = _postgres(_own_kind(binaries.installed_postgres), folder, options)
        try:
            server.start()
            if migrated:
                migrate(server.url, folder)
            yield server
        finally:
            server.stop()


@contextmanager
def private_redis() -> Iterator[Valkey]:
    """A Redis or Valkey that a test may `kill()`, `stop()` and `start()` again on the same port.

    It forgets everything when it ends.
    """
    with _private_folder() as folder:
        server = _valkey(_own_kind(binaries.installed_redis), folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _own_kind(installed: Callable[[], Path | None]) -> str:
    kind = told().kind
    if kind in ("installed", "wheels"):
        return kind
    return "installed" if installed() else "wheels"


@contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tesserra-private-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- small things -----------------------------------------------------------------------------


def with_database(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await from anywhere, also inside a running loop: in a thread with a loop of its own."""
    done: list[Answer] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as exc:  # noqa: BLE001 - raised again below, in the caller's thread
            failed.append(exc)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


async def _administer(servers: Servers, *statements: str) -> None:
    async with _connected(servers.postgres_url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def _drop(servers: Servers, name: str) -> None:
    """Drop a database.

    An autovacuum worker in it is a superuser's process, and we may not end it: it is gone soon.
    """
    async with asyncio.timeout(30):
        while True:
            try:
                return await _administer(servers, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            except asyncpg.InsufficientPrivilegeError:
                await asyncio.sleep(0.1)


async def _drop_all(servers: Servers) -> None:
    async with _connected(servers.postgres_url) as connection:
        names = await connection.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE $1",
            f"tesserra\\_test\\_{servers.token}\\_%",
        )
        for row in names:
            with contextlib.suppress(asyncpg.PostgresError):
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')


@asynccontextmanager
async def _connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
