"""Statements by the plan that knows no value: none reads what it does not need."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bench.audit import BIG
from service.domain import apikeys, audit, seals, sessions
from service.kernel.sql import Queries
from service.runtime import Runtime
from tests import given
from tests.sql.filled import TRAIL, filled, nodes

SEALED = """
INSERT INTO auth_event_seals (chain_id, position, event_id, occurred_at, sealed_at, form, salt,
                              personal, leaf, previous, hash)
SELECT chain_id, row_number() OVER (PARTITION BY chain_id ORDER BY event_id), event_id, occurred_at,
       occurred_at, 2, substr(digest, 1, 16), digest, digest, digest, digest
  FROM (SELECT *, sha256(event_id::text::bytea) AS digest FROM auth_eventos) AS events
"""


@pytest.fixture
async def sealed(rt: Runtime) -> AsyncIterator[Runtime]:
    """A trail all of which is sealed."""
    async with filled(rt):
        async with rt.pg.autocommit() as tx:
            await tx.execute(SEALED, timeout=60)
            await tx.execute(
                "INSERT INTO auth_event_chains (chain_id, position, hash)"
                " SELECT chain_id, max(position), sha256('') FROM auth_event_seals"
                " GROUP BY chain_id"
            )
            await tx.execute(f"ANALYZE {TRAIL}")
        yield rt


async def read(rt: Runtime, queries: Queries, name: str, **values: Any) -> int:
    """Return how many rows of tables a statement looks at."""
    statement = queries.statements[name]
    told = ("NULL" if v is None else f"'{v}'" for v in statement.arguments(values))
    async with rt.pg.decision() as tx:
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.execute(f"PREPARE asked AS {statement.text}")
        plan = msgspec.json.decode(
            await tx.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({', '.join(told)})")
        )[0]["Plan"]
        await tx.execute("DEALLOCATE asked")
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and "Relation Name" in node
    )


async def test_what_is_sealed_is_not_looked_through_for_what_is_not(sealed: Runtime) -> None:
    """Once a second, by every worker; the marks are where a sealer leaves them."""
    async with sealed.pg.autocommit() as tx:
        mark = await tx.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await tx.execute(
            "INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, event_type,"
            " request_id) SELECT gen_random_uuid(), '2025-04-01', $1, 'operator', 'new', 'x'"
            " FROM generate_series(1, 3)",
            BIG,
        )
    at = {"recorded_xid": mark, "event_id": UUID(int=0)}
    queries = seals.store.queries
    assert await read(sealed, queries, "list_unsealed", **at, horizon=mark + 9, most=9) < 100
    assert await read(sealed, queries, "list_waiting", **at) < 100
    asked = {"before": datetime(2025, 3, 1, tzinfo=UTC), "recorded_xid": mark}
    assert await read(sealed, audit.store.queries, "has_unsealed", **asked) < 100


async def test_a_stretch_is_compared_with_its_own_seals(sealed: Runtime) -> None:
    looked = await read(
        sealed,
        seals.store.queries,
        "list_strays",
        chain_id=BIG,
        beginning=0,
        recorded_xid=1,
        event_id=UUID(int=0),
        after=UUID(int=0),
        after_at=datetime(1970, 1, 1, tzinfo=UTC),
        most=100,
    )
    assert looked < 10_000  # of chains there are so few that each look reads them all


@pytest.fixture
async def crowded(rt: Runtime) -> given.Given:
    """A person with some API keys and ended sessions, among a hundred others with as many."""
    ada = await given.a_person(rt)
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "INSERT INTO auth_users (user_id, email, created_at)"
            " SELECT gen_random_uuid(), n || '@acme.example', now() FROM generate_series(1, 100) n"
        )
        await tx.execute(
            "INSERT INTO auth_api_keys (key_id, tenant_id, owner_id, public_id, secret_mac, name,"
            " scopes, created_at, expires_at)"
            " SELECT gen_random_uuid(), $1, user_id, substr(md5(user_id::text || n), 1, 12),"
            " sha256('x'), 'k', '{agentes}', now(), now() + interval '9 days'"
            " FROM auth_users, generate_series(1, 150) AS n",
            ada.tenant_id,
        )
        await tx.execute(
            "INSERT INTO auth_sessions (session_id, tenant_id, user_id, client_id, amr, auth_time,"
            " created_at, expires_at, ended_at, ended_why)"
            " SELECT gen_random_uuid(), $1, user_id, 'console', '{pwd}', now(), now(), now(),"
            " now(), 'signed_out' FROM auth_users, generate_series(1, 150) AS n",
            ada.tenant_id,
        )
        await tx.execute("ANALYZE auth_api_keys, auth_sessions")
    return ada


async def test_few_among_many_are_found_by_an_index(rt: Runtime, crowded: given.Given) -> None:
    mine = {"tenant_id": crowded.tenant_id, "owner_id": crowded.user_id}
    found = await read(rt, apikeys.store.queries, "list_own", **mine, before=None, most=50)
    assert found <= 150
    one = {"tenant_id": crowded.tenant_id, "user_id": crowded.user_id}
    assert await read(rt, sessions.store.queries, "export_member", **one) <= 150


async def test_a_page_far_on_reads_no_more_than_the_first(
    rt: Runtime, crowded: given.Given
) -> None:
    there = {"tenant_id": crowded.tenant_id, "before": UUID(int=2**121), "most": 50}
    assert await read(rt, apikeys.store.queries, "list_page", **there) <= 50


async def test_whether_a_key_ends_is_asked_of_one_row(rt: Runtime, crowded: given.Given) -> None:
    """Four times a second, by every worker."""
    assert crowded
    asked = {"at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert await read(rt, apikeys.store.queries, "any_ending", **asked) <= 1
