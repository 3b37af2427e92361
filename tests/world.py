"""Fixtures: a runtime on real servers, an application on it, and clients of the application."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import redis.asyncio
from msgspec.structs import replace

from service.app import build
from service.http.edge import Edge
from service.kernel.call import Call
from service.kernel.clock import Clock
from service.kernel.passwords import HashParameters, Passwords
from service.kernel.postgres import connect_once
from service.kernel.secret import Secret
from service.policy import Limit, Limits, Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests.processes import MASTER_KEY

ORIGIN = "https://console.test"
ISSUER = "https://auth.test"
CHEAP = HashParameters(memory_kib=64, passes=1, lanes=1)
GENEROUS = Limit(100_000, 60)
UNLIMITED = Limits(login=GENEROUS, me=GENEROUS, create=GENEROUS, refresh=GENEROUS)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """The settings of the deployment under test; nginx is at 127.0.0.1."""
    return Settings(
        issuer=ISSUER,
        database_url=Secret(database_url),
        redis_url=Secret(redis_url),
        master_keys=(Secret(MASTER_KEY),),
        allowed_origins=(ORIGIN,),
        trusted_proxies=("127.0.0.1/32",),
        data_dir=tmp_path / "data",
    )


@pytest.fixture
def policy() -> Policy:
    """Wide limits; a test of a limit overrides this fixture."""
    return Policy(limits=UNLIMITED)


@pytest.fixture
async def rt(settings: Settings, policy: Policy) -> AsyncIterator[Runtime]:
    """A runtime on an empty database; hashes are cheap, the clock may be frozen."""
    await empty_tables(settings)
    clock = Clock()
    passwords = Passwords(clock, CHEAP, floor_kib=CHEAP.memory_kib, margin_seconds=0.0)
    async with open_runtime(settings, clock=clock, policy=policy, passwords=passwords) as rt:
        async with redis.asyncio.from_url(str(settings.redis_url)) as patient:
            await patient.flushdb()  # the service's own client gives up in a quarter of a second
        yield rt


@pytest.fixture
def call(rt: Runtime) -> Callable[..., Call]:
    """Make calls: `call()`, `call(ip=...)`, `call(actor=person)`; `at` is now."""

    def make(**given: object) -> Call:
        plain = Call(request_id=uuid4().hex, at=rt.clock.now(), ip="192.0.2.1", user_agent="tests")
        return replace(plain, **given)

    return make


@pytest.fixture
async def app(rt: Runtime, settings: Settings) -> AsyncIterator[Edge]:
    """The application on `rt`."""
    shell = build(settings, opened=rt)
    async with shell.app.lifespan():
        yield shell


@pytest.fixture
async def browser(app: Edge) -> AsyncIterator[Callable[..., httpx2.AsyncClient]]:
    """Make clients, each with a cookie jar and an address of its own: `browser(ip=...)`."""
    opened: list[httpx2.AsyncClient] = []

    def make(ip: str = "192.0.2.1", agent: str = "tests") -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app, client=("127.0.0.1", 40_000)),  # type: ignore[arg-type]
            base_url=ISSUER,
            headers={"x-forwarded-for": ip, "user-agent": agent},
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
def client(browser: Callable[..., httpx2.AsyncClient]) -> httpx2.AsyncClient:
    """One client."""
    return browser()


async def empty_tables(settings: Settings) -> None:
    connection = await connect_once(settings.database_url, settings.database_schema)
    try:
        await connection.execute(
            "CREATE TEMP TABLE kept AS SELECT * FROM auth_clients WHERE client_id = 'console';"
            "TRUNCATE auth_organizations, auth_users, auth_lockouts, auth_eventos,"
            " auth_event_seals, auth_event_chains, auth_event_checkpoints,"
            " auth_revocations, auth_idempotency CASCADE; UPDATE auth_revocation_head SET seq = 0;"
            "INSERT INTO auth_clients TABLE kept"
        )
    finally:
        await connection.close()
