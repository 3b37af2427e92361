"""Every filter of the audit trail is led by an index: no page reads a partition through."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bench.audit import BIG, COLUMNS, EVER, FIRST, GENERATED
from service.domain import audit
from service.domain.audit.store import queries
from service.runtime import Runtime

COUNT = 40_000
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
    async with rt.pg.reading() as tx:
        await audit.make_partitions(tx, FIRST, 4)
        await tx.execute(
            f"INSERT INTO auth_eventos ({', '.join(COLUMNS)}) {GENERATED}",
            *(FIRST, timedelta(days=120) / COUNT, 0, COUNT - 1),
            timeout=60,
        )
        await tx.execute("ANALYZE auth_eventos")
    yield rt
    async with rt.pg.reading() as tx:
        await tx.execute("TRUNCATE auth_eventos")
        await tx.execute("ANALYZE auth_eventos")
        for month in ("2025_01", "2025_02", "2025_03", "2025_04"):
            await tx.execute(f"DROP TABLE auth_eventos_{month}, auth_event_seals_{month}")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]


async def test_a_page_is_read_by_the_index_of_its_leading_filter(full: Runtime) -> None:
    for name, filters in STATEMENTS.items():
        statement = queries.statements[name]
        given = {
            **dict.fromkeys(statement.parameters),
            "chain_id": BIG,
            "before": UUID(int=2**128 - 1),
            "first": EVER.first,
            "until": EVER.until,
            "most": 50,
            **filters,
        }
        async with full.pg.reading() as tx:
            told = await tx.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", *statement.arguments(given)
            )
        plan = msgspec.json.decode(told)[0]
        scans = [node for node in nodes(plan["Plan"]) if "Scan" in node["Node Type"]]
        busy = [
            node for node in scans if node.get("Actual Rows") or node.get("Rows Removed by Filter")
        ]
        assert busy or filters, name  # of these ids there may be none among so few
        large = [node for node in busy if node["Node Type"] == "Seq Scan"]
        assert not large, (name, large)
        assert sum(node.get("Rows Removed by Filter", 0) for node in scans) < 500, name
        assert plan["Execution Time"] < 50, name


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
