"""A trail of four months to read plans of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from bench.audit import COLUMNS, FIRST, GENERATED
from service.domain import audit
from service.runtime import Runtime

COUNT = 40_000
TRAIL = "auth_eventos, auth_event_seals, auth_event_chains"


@asynccontextmanager
async def filled(rt: Runtime) -> AsyncIterator[None]:
    """Fill it with events, none sealed; leave nothing of it."""
    async with rt.pg.autocommit() as tx:
        await audit.make_partitions(tx, FIRST, 4)
        await tx.execute(
            f"INSERT INTO auth_eventos ({', '.join(COLUMNS)}) {GENERATED}",
            *(FIRST, timedelta(days=120) / COUNT, 0, COUNT - 1),
            timeout=60,
        )
        await tx.execute("ANALYZE auth_eventos")
    yield
    async with rt.pg.autocommit() as tx:
        await tx.execute(f"TRUNCATE {TRAIL}")
        await tx.execute(f"ANALYZE {TRAIL}")
        for month in ("2025_01", "2025_02", "2025_03", "2025_04"):
            await tx.execute(f"DROP TABLE auth_eventos_{month}, auth_event_seals_{month}")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a plan."""
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]
