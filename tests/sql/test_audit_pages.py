"""Every filter of the audit trail is led by an index: no page reads a partition through."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bench.audit import BIG, EVER, FIRST
from service.domain import audit
from service.domain.audit import Filter
from service.domain.audit.store import queries
from service.domain.audit.trail import leading
from service.kernel.sql import Statement
from service.runtime import Runtime
from tests.sql.filled import filled, nodes

STATEMENTS: dict[str, dict[str, Any]] = {
    "page": {},
    "page_by_type": {"event_type": "family.burned"},
    "page_by_user": {"user_id": UUID(int=0x1000042)},
    "page_by_session": {"session_id": UUID(int=1_000_000_042)},
    "page_by_address": {"address": "10.0.0.42"},
    "page_by_request": {"request_id": "r000000000000000000000042"},
}


@pytest.fixture
async def full(rt: Runtime) -> AsyncIterator[Runtime]:
    async with filled(rt):
        yield rt


async def examined(full: Runtime, statement: Statement, **filters: Any) -> dict[str, Any]:
    """Return what a statement that was run looked at, once no scan read a table through.

    By its general plan, as of a connection that was asked often: it does not know the values.
    """
    given = {
        **dict.fromkeys(statement.parameters),
        "chain_id": BIG,
        "after": UUID(int=0),
        "before": UUID(int=2**128 - 1),
        "first": EVER.first,
        "until": EVER.until,
        "most": 50,
        **filters,
    }
    values = ("NULL" if v is None else f"'{v}'" for v in statement.arguments(given))
    async with full.pg.decision() as tx:
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.execute(f"PREPARE page AS {statement.text}")
        told = await tx.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page ({', '.join(values)})"
        )
        await tx.execute("DEALLOCATE page")
    plan: dict[str, Any] = msgspec.json.decode(told)[0]
    scans = [node for node in nodes(plan["Plan"]) if "Scan" in node["Node Type"]]
    busy = [node for node in scans if node.get("Actual Rows") or removed([node])]
    large = [node for node in busy if node["Node Type"] == "Seq Scan"]
    assert not large, (statement.name, large)
    assert plan["Execution Time"] < 50, statement.name
    return {"busy": busy, "removed": removed(scans)}


def removed(scans: list[dict[str, Any]]) -> int:
    return sum(node.get("Rows Removed by Filter", 0) for node in scans)


async def test_a_page_is_read_by_the_index_of_its_leading_filter(full: Runtime) -> None:
    for name, filters in STATEMENTS.items():
        found = await examined(full, queries.statements[name], **filters)
        assert found["busy"] or filters, name  # of these ids there may be none among so few
        assert found["removed"] < 500, name


HEAVY: dict[str, Any] = {
    "address": "198.51.100.1",
    "user_id": UUID(int=0xABC),
    "request_id": "always-the-same",
}
"""Half of the events, and thirds: an office, who never rests, who names all requests alike."""

RARE: dict[str, Any] = {
    "address": "203.0.113.9",
    "user_id": UUID(int=0xDEF),
    "event_type": "family.burned",
    "request_id": "once",
}


async def test_of_two_filters_the_rare_one_leads(full: Runtime) -> None:
    """Else a page of what is not there looks at everything that came from an office."""
    async with full.pg.autocommit() as tx:
        await tx.execute(
            "UPDATE auth_eventos SET ip = $2::text::inet WHERE request_id ~ '[02468]$'"
            " AND chain_id = $1",
            *(BIG, HEAVY["address"]),
        )
        await tx.execute(
            "UPDATE auth_eventos SET user_id = $2 WHERE request_id ~ '[012]$' AND chain_id = $1",
            *(BIG, HEAVY["user_id"]),
        )
        await tx.execute(
            "UPDATE auth_eventos SET request_id = $2 WHERE request_id ~ '[258]$' AND chain_id = $1",
            *(BIG, HEAVY["request_id"]),
        )
        await tx.execute("ANALYZE auth_eventos")
    pairs = [
        {heavy: HEAVY[heavy], rare: RARE[rare]} for heavy in HEAVY for rare in RARE if heavy != rare
    ]
    pairs += [{**HEAVY}, {**HEAVY, "event_type": "no.such"}]
    ends = UUID(int=0), UUID(int=2**128 - 1)
    for filters in pairs:
        async with full.pg.autocommit() as tx:
            led = await leading(tx, BIG, Filter(**filters), *ends)
        found = await examined(full, led.statement, **filters)
        assert found["removed"] < 1000, (filters, led.statement.name)


async def test_pages_put_together_are_everything_there_is(full: Runtime) -> None:
    wanted = msgspec.structs.replace(EVER, first=FIRST, until=datetime(2025, 1, 8, tzinfo=UTC))
    seen: list[UUID] = []
    async with full.pg.reading() as tx:
        expected = await tx.fetch(
            "SELECT event_id FROM auth_eventos WHERE chain_id = $1 AND occurred_at < $2"
            " ORDER BY event_id DESC",
            BIG,
            wanted.until,
        )
        while page := await audit.read_page(tx, BIG, wanted, seen[-1] if seen else None, 200):
            seen += [one.event_id for one in page]
    assert seen == [row["event_id"] for row in expected]
    assert len(seen) > 400
