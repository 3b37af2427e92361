"""Deployments side by side, and the role a deployment runs as."""

import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import redis.asyncio

from service.flows.sessions.sign_in import Credentials, sign_in
from service.kernel import migrate
from service.kernel.call import Call
from service.kernel.postgres import connect_once
from service.kernel.refusal import Refused
from service.kernel.secret import Secret
from service.policy import Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run
from tests.world import UNLIMITED


@asynccontextmanager
async def deployment(settings: Settings, schema: str, url: str = "") -> AsyncIterator[Runtime]:
    """Open a deployment in a schema of its own; it is migrated by the schema's owner."""
    owner = await connect_once(settings.database_url, schema)
    try:
        await migrate.migrate(owner, schema)
        if url:
            await migrate.grant_to(owner, urlsplit(url).username or "")
    finally:
        await owner.close()
    own = Settings(
        issuer=settings.issuer,
        database_url=Secret(url or settings.database_url),
        database_schema=schema,
        redis_url=settings.redis_url,
        master_keys=settings.master_keys,
    )
    async with open_runtime(own, policy=Policy(limits=UNLIMITED)) as rt:
        yield rt


@pytest.fixture(autouse=True)
async def _no_keys_of_others(redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await client.flushdb()


def call(rt: Runtime) -> Call:
    return Call(request_id="test-request", at=rt.clock.now(), ip="192.0.2.1")


async def test_two_deployments_on_the_same_servers_never_see_each_other(
    settings: Settings,
) -> None:
    async with deployment(settings, "one") as one, deployment(settings, "two") as two:
        await one.redis.client.flushdb()  # what tests before this one have left
        person = await given.a_person(one)
        granted = await sign_in(one, call(one), Credentials(person.email, person.password))
        with pytest.raises(Refused, match="unknown"):
            await sign_in(two, call(two), Credentials(person.email, person.password))
        with pytest.raises(Refused, match="header"):
            two.tokens.verify(granted.access_token, two.clock.now())
        assert await given.kinds(one) == ["sign_in.succeeded"]
        assert await given.kinds(two) == ["sign_in.failed"]
        assert one.redis.prefix != two.redis.prefix
        found: Any = await one.redis.client.keys("*")
        keys = {key.decode() for key in found}
        assert all(key.startswith((one.redis.prefix, two.redis.prefix)) for key in keys)


async def a_role(settings: Settings) -> str:
    """Make a role that may sign in and nothing else; return the address to do so."""
    role, password = f"service_{secrets.token_hex(4)}", secrets.token_hex(8)
    owner = await connect_once(settings.database_url, "public")
    try:
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    except asyncpg.InsufficientPrivilegeError:
        pytest.skip("the given database role may not create roles")
    finally:
        await owner.close()
    parts = urlsplit(settings.database_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{place}"))


@pytest.mark.parametrize(
    "arguments", [("serve",), ("migrate",), ("prune",), ("user", "import", os.devnull)]
)
async def test_a_role_that_was_granted_nothing_is_told_with_one_line(
    settings: Settings, arguments: tuple[str, ...]
) -> None:
    url = await a_role(settings)
    line = refusal(run(settings, *arguments, more={"database_url": url}))
    assert line.startswith("AUTH_DATABASE_URL: the role lacks a privilege (`tesserra-auth migrate")


async def test_a_role_that_was_granted_too_little_is_told_with_one_line(
    settings: Settings,
) -> None:
    url = await a_role(settings)
    owner = await connect_once(settings.database_url, "little")
    try:
        await migrate.migrate(owner, "little")
        role = urlsplit(url).username
        await owner.execute(
            f"GRANT USAGE ON SCHEMA little TO {role};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA little TO {role}"
        )
    finally:
        await owner.close()
    more = {"database_url": url, "database_schema": "little"}
    line = refusal(run(settings, "serve", more=more))
    assert line == "AUTH_DATABASE_URL: postgresql: InsufficientPrivilegeError"


async def test_a_migration_that_does_not_run_is_named(settings: Settings) -> None:
    owner = await connect_once(settings.database_url, "public")
    try:
        await owner.execute("CREATE SCHEMA taken; CREATE TABLE taken.auth_users (n int)")
    finally:
        await owner.close()
    line = refusal(run(settings, "migrate", more={"database_schema": "taken"}))
    assert re.fullmatch(r"migration \d{4}_\w+: DuplicateTableError", line)


async def test_the_role_of_one_deployment_has_no_way_into_another_s_schema(
    settings: Settings,
) -> None:
    async with (
        deployment(settings, "here", await a_role(settings)) as here,
        deployment(settings, "there", await a_role(settings)) as there,
    ):
        await given.a_person(there)
        for forbidden in (
            "SELECT FROM there.auth_users",
            "INSERT INTO there.auth_eventos DEFAULT VALUES",
            "SELECT there.auth_eventos_partitions(now(), 1)",
        ):
            async with here.pg.autocommit() as tx:
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema there"):
                    await tx.execute(forbidden)


async def test_the_owner_runs_nothing_that_the_service_s_role_left_in_its_temporary_schema(
    settings: Settings,
) -> None:
    """Whoever has the service's password may make views there, as everybody may by default."""
    async with deployment(settings, "planted", await a_role(settings)) as rt:
        person = await given.a_person(rt)
        await sign_in(rt, call(rt), Credentials(person.email, person.password))
        async with rt.pg.autocommit() as tx:
            await tx.execute(
                "CREATE FUNCTION pg_temp.mine() RETURNS boolean LANGUAGE plpgsql AS"
                " $$ BEGIN DELETE FROM planted.auth_eventos; RETURN true; END $$;"
                " CREATE TEMPORARY VIEW auth_eventos_default AS"
                " SELECT timestamptz '2040-01-15' AS occurred_at WHERE pg_temp.mine();"
                " GRANT SELECT ON pg_temp.auth_eventos_default TO PUBLIC"
            )
            await tx.fetchval("SELECT auth_eventos_partitions('2040-01-01', 1)")
        assert await given.kinds(rt) == ["sign_in.succeeded"]
        async with rt.pg.autocommit() as tx:
            open_to_it = await tx.fetch(
                "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
                " AND prosecdef AND NOT 'search_path=planted, pg_temp' = ANY (proconfig)"
            )
        assert open_to_it == []


async def test_the_service_runs_as_a_role_that_cannot_touch_its_own_audit_trail(
    settings: Settings,
) -> None:
    async with deployment(settings, "least", await a_role(settings)) as rt:
        person = await given.a_person(rt)
        await sign_in(rt, call(rt), Credentials(person.email, person.password))
        for forbidden in (
            "UPDATE auth_eventos SET event_type = 'nothing'",
            "DELETE FROM auth_eventos",
            "TRUNCATE auth_eventos",
            "DELETE FROM auth_eventos_default",
            "DROP TABLE auth_eventos",
            "DROP TABLE auth_users",
            "ALTER TABLE auth_users ADD COLUMN x int",
            "CREATE TABLE mine (x int)",
            "DELETE FROM auth_event_seals",
            "UPDATE auth_event_checkpoints SET position = 0",
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'x', 'x')",
        ):
            async with rt.pg.autocommit() as tx:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await tx.execute(forbidden)
        async with rt.pg.autocommit() as tx:
            with pytest.raises(asyncpg.RaiseError, match="not personal"):
                await tx.execute("SELECT auth_eventos_erase($1, '{known_device}')", person.user_id)
        assert await given.kinds(rt) == ["sign_in.succeeded"]
