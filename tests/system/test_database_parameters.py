"""Whatever an operator set on the database or the role does not matter to the service, or is told.

Each parameter that may be set there takes a value it does not have, a dozen at a time; those the
service relies on take theirs one by one.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from msgspec.structs import replace

from service.app import build
from service.kernel.clock import Clock
from service.kernel.passwords import Passwords
from service.kernel.secret import Secret
from service.policy import Policy
from service.runtime import StartError, open_runtime
from service.settings import Settings
from tests import given, servers
from tests.http import asking
from tests.processes import MASTER_KEY
from tests.world import CHEAP, ISSUER, ORIGIN, UNLIMITED

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

AWKWARD = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "datestyle": "SQL, DMY",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-15",
    "idle_in_transaction_session_timeout": "1ms",
    "intervalstyle": "sql_standard",
    "lock_timeout": "1ms",
    "plpgsql.extra_errors": "all",
    "plpgsql.variable_conflict": "use_column",
    "search_path": "elsewhere, pg_temp",
    "standard_conforming_strings": "off",
    "statement_timeout": "100ms",
    "synchronous_commit": "off",
    "timezone": "Asia/Kathmandu",
    "transform_null_equals": "on",
}
"""What the service relies on, otherwise.  (Of `statement_timeout` a millisecond is told.)"""

TOLD = {
    "default_transaction_read_only": "on",
    "local_preload_libraries": "nosuch",
    "session_preload_libraries": "nosuch",
    "session_replication_role": "replica",
}


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Iterator[Settings]:
    with servers.cloned_database() as url:
        yield Settings(
            issuer=ISSUER,
            database_url=Secret(url),
            redis_url=Secret(redis_url),
            master_keys=(Secret(MASTER_KEY),),
            allowed_origins=(ORIGIN,),
            trusted_proxies=("127.0.0.1/32",),
            data_dir=tmp_path / "data",
        )


@pytest.fixture
async def admin(settings: Settings) -> AsyncIterator[Admin]:
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def use(settings: Settings) -> None:
    """Start, sign in, renew and read the trail, as one person more."""
    clock = Clock()
    passwords = Passwords(clock, CHEAP, floor_kib=CHEAP.memory_kib)
    policy = Policy(limits=UNLIMITED)
    async with open_runtime(settings, clock=clock, policy=policy, passwords=passwords) as rt:
        shell = build(settings, opened=rt)
        slug = f"o{secrets.token_hex(4)}"
        person = await given.a_person(rt, f"{slug}@acme.example", slug=slug, role="owner")
        async with (
            shell.app.lifespan(),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=shell, client=("127.0.0.1", 40_000)),  # type: ignore[arg-type]
                base_url=ISSUER,
                headers={"x-forwarded-for": "192.0.2.1"},
            ) as client,
        ):
            signed_in = await asking.sign_in(client, person)
            assert signed_in.status_code == 200, signed_in.text
            renewed = await asking.renew(client)
            assert renewed.status_code == 200, renewed.text
            trail = await client.get("/admin/audit-events", headers=asking.bearer(renewed))
            assert trail.status_code == 200, trail.text
            assert [one["type"] for one in trail.json()["items"]] == ["sign_in.succeeded"]


async def put(admin: Admin, settings: Settings, name: str, value: str) -> bool:
    """Set a parameter on the database; False when this server or this role does not let us."""
    database = urlsplit(settings.database_url).path[1:]
    try:
        await admin.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
    except asyncpg.PostgresError:
        return False
    return True


async def reset(admin: Admin, settings: Settings) -> None:
    await admin.execute(f"ALTER DATABASE {urlsplit(settings.database_url).path[1:]} RESET ALL")


async def test_what_the_service_relies_on_may_be_set_otherwise(
    settings: Settings, admin: Admin
) -> None:
    for name, value in AWKWARD.items():
        if await put(admin, settings, name, value):
            await use(settings)
            await reset(admin, settings)


async def test_what_cannot_be_is_told_by_its_name(settings: Settings, admin: Admin) -> None:
    for name, value in TOLD.items():
        if await put(admin, settings, name, value):
            with pytest.raises(StartError, match=f"^AUTH_DATABASE_URL: .*{name}"):
                await use(settings)
            await reset(admin, settings)


async def test_every_other_parameter_is_without_effect(settings: Settings, admin: Admin) -> None:
    others = await admin.fetch(
        "SELECT name, setting, vartype, enumvals, min_val, max_val FROM pg_settings"
        " WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend')"
        " AND NOT name = ANY ($1) ORDER BY name",
        [*TOLD, "statement_timeout", "idle_session_timeout", "max_stack_depth"],
    )
    rows = iter(others)
    while dozen := list(islice(rows, 12)):
        told = [
            (row["name"], value)
            for row in dozen
            for value in other_values(row)
            if await put(admin, settings, row["name"], value)
        ]
        try:
            await use(settings)
        except Exception as exc:
            raise AssertionError(f"one of {told}") from exc
        await reset(admin, settings)


def other_values(row: asyncpg.Record) -> list[str]:
    match row["vartype"]:
        case "bool":
            values = ["on", "off"]
        case "enum":
            values = row["enumvals"]
        case "string":
            values = ["nosuch"]
        case _:
            values = [row["max_val"], row["min_val"]]
    return [value for value in values if value != row["setting"]]


async def test_a_role_has_settings_too(settings: Settings, admin: Admin) -> None:
    parts = urlsplit(settings.database_url)
    await admin.execute(
        f"ALTER ROLE {parts.username} IN DATABASE {parts.path[1:]} SET search_path = elsewhere"
    )
    await use(settings)
    await admin.execute(
        f"ALTER ROLE {parts.username} IN DATABASE {parts.path[1:]}"
        " SET default_transaction_read_only = on"
    )
    with pytest.raises(StartError, match="default_transaction_read_only"):
        await use(settings)


async def test_a_database_of_another_encoding_is_told_of(settings: Settings, admin: Admin) -> None:
    name = f"{urlsplit(settings.database_url).path[1:]}_latin"
    await admin.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        url = Secret(servers.with_database(settings.database_url, name))
        with pytest.raises(StartError, match=r"^AUTH_DATABASE_URL: .*server_encoding must be UTF8"):
            await use(replace(settings, database_url=url))
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
