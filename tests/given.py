"""The world before a test, made in SQL: no flow is its own witness."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.kernel import ids
from service.kernel.ids import TenantId, UserId
from service.runtime import Runtime

PASSWORD = "correct unicorn paperclip"
A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Given:
    """A person in an organization."""

    user_id: UserId
    email: str
    password: str
    tenant_id: TenantId
    slug: str


async def an_organization(
    rt: Runtime, slug: str = "acme", *, policy: str | None = None
) -> TenantId:
    tenant_id = TenantId(ids.new(rt.clock.now()))
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_organizations (tenant_id, slug, name, policy, created_at)"
            " VALUES ($1, $2, $3, $4::text::jsonb, $5)",
            tenant_id,
            slug,
            slug.title(),
            policy,
            rt.clock.now(),
        )
    return tenant_id


async def a_person(
    rt: Runtime,
    email: str = "ada@acme.example",
    *,
    password: str = PASSWORD,
    password_hash: str | None = None,
    slug: str = "acme",
    role: str = "member",
    platform_admin: bool = False,
) -> Given:
    """Make a person, and the organization if it is not there."""
    async with rt.pg.reading() as tx:
        found = await tx.fetchval("SELECT tenant_id FROM auth_organizations WHERE slug = $1", slug)
    tenant_id = TenantId(found) if found else await an_organization(rt, slug)
    user_id = UserId(ids.new(rt.clock.now()))
    hashed = password_hash or await rt.passwords.hash(password)
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_users"
            " (user_id, email, name, password_hash, platform_admin, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            user_id,
            email,
            email.partition("@")[0].title(),
            hashed,
            platform_admin,
            rt.clock.now(),
        )
    await a_membership(rt, user_id, tenant_id, role)
    return Given(user_id, email, password, tenant_id, slug)


async def a_membership(rt: Runtime, user_id: UserId, tenant_id: TenantId, role: str) -> None:
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_memberships (tenant_id, user_id, role, created_at)"
            " VALUES ($1, $2, $3, $4)",
            tenant_id,
            user_id,
            role,
            rt.clock.now(),
        )


async def events(rt: Runtime, *types: str) -> list[dict[str, Any]]:
    """Return the audit trail in order, of some types or of all."""
    async with rt.pg.reading() as tx:
        rows = await tx.fetch("SELECT * FROM auth_eventos ORDER BY occurred_at, event_id")
    told = [{**row, "detail": msgspec.json.decode(row["detail"])} for row in map(dict, rows)]
    return [event for event in told if not types or event["event_type"] in types]


async def no_pending_key(rt: Runtime) -> None:
    """Forget signing keys that are published and do not sign yet: the one that signs goes on."""
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_signing_keys WHERE activates_at > now()")
        await tx.execute(
            "UPDATE auth_signing_keys SET retires_at = NULL, removes_at = NULL WHERE kid = $1",
            rt.keyring.signing(rt.clock.now()).kid,
        )


async def kinds(rt: Runtime) -> list[str]:
    """Return the types of all events, in order."""
    return [event["event_type"] for event in await events(rt)]


async def no_grace(rt: Runtime) -> None:
    """Let every token that was superseded have been so since an hour ago."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_families SET rotated_at = rotated_at - interval '1 hour', superseded ="
            " ARRAY(SELECT at - interval '1 hour' FROM unnest(superseded) AS at ORDER BY at)"
        )


async def a_public_client(rt: Runtime, client_id: str = "app") -> str:
    """Make a client without a secret, of the platform."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_clients (client_id, name, scopes, token_endpoint_auth_method,"
            " grant_types, created_at) VALUES ($1, $1, '{}', 'none', '{refresh_token}', $2)",
            client_id,
            rt.clock.now(),
        )
    return client_id


@asynccontextmanager
async def statements(rt: Runtime) -> AsyncIterator[list[str]]:
    """Collect the statements of this process's pool.

    But the revocations' follower's own, and the driver's first look at types.
    """
    asked: list[str] = []

    def note(query: Any) -> None:
        text = query.query
        followed = "auth_revocation" in text and "auth_families" not in text
        if not (followed or "typeinfo_tree" in text or "'jit'" in text):
            asked.append(text)

    pool: Any = rt.pg._pool
    holders = [holder._con for holder in pool._holders if holder._con is not None]
    for connection in holders:
        connection.add_query_logger(note)
    try:
        yield asked
    finally:
        for connection in holders:
            connection.remove_query_logger(note)


async def live_families(rt: Runtime, user_id: UUID | None = None) -> int:
    """Count families that still yield tokens."""
    async with rt.pg.reading() as tx:
        found: int = await tx.fetchval(
            "SELECT count(*) FROM auth_families JOIN auth_sessions USING (session_id)"
            " WHERE status = 'live' AND ended_at IS NULL AND ($1::uuid IS NULL OR user_id = $1)",
            user_id,
        )
    return found


@asynccontextmanager
async def no_commit_of(rt: Runtime, event_type: str) -> AsyncIterator[None]:
    """Let no transaction commit that records this: as when the server is lost at the commit."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no commit'; END $$"
        )
        await tx.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON auth_eventos DEFERRABLE"
            " INITIALLY DEFERRED FOR EACH ROW"
            f" WHEN (NEW.event_type = '{event_type}') EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute("DROP FUNCTION refuse CASCADE")


@asynccontextmanager
async def only_rows_where(rt: Runtime, table: str, condition: str) -> AsyncIterator[None]:
    """Have a table take no new row but such ones meanwhile: a storage that fails in the middle."""
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT meanwhile CHECK ({condition}) NOT VALID"
        )
    try:
        yield
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute(f"ALTER TABLE {table} DROP CONSTRAINT meanwhile")


@asynccontextmanager
async def refusing_rows(
    rt: Runtime, table: str, state: str, which: str = "true"
) -> AsyncIterator[None]:
    """Have a table refuse new rows with this SQLSTATE: 53100 is what a full disk says.

    Every one, or those of which something is true (`NEW.seq > 1`).
    """
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$"
        )
        await tx.execute(
            f"CREATE TRIGGER refuse_row BEFORE INSERT ON {table}"
            f" FOR EACH ROW WHEN ({which}) EXECUTE FUNCTION refuse_row()"
        )
    try:
        yield
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute("DROP FUNCTION refuse_row CASCADE")


async def set_user(rt: Runtime, user_id: UserId, *, disabled_at: datetime | None) -> None:
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_users SET disabled_at = $2 WHERE user_id = $1", user_id, disabled_at
        )


def claims(token: str) -> dict[str, Any]:
    """Read a token's payload, unchecked."""
    payload = token.split(".")[1]
    told: dict[str, Any] = msgspec.json.decode(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return told


async def until_somebody_waits(rt: Runtime) -> None:
    """Return once a statement of this database waits for a lock."""
    async with asyncio.timeout(10), rt.pg.autocommit() as tx:
        while not await tx.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
