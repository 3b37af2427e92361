"""Retention drops whole months, never a row; the chain goes on from a signed beginning."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from service.domain import audit
from service.domain.audit import events
from service.flows.upkeep.retention import drop_old_months
from service.flows.upkeep.sealing import seal_batch, sign_due
from service.kernel.call import Call, Operator
from service.kernel.ids import TenantId
from service.kernel.refusal import Refused
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.trails import (
    a_tenant,
    checked,
    faults,
    run,
    seal_all,
    sign_all,
    some_events,
)

Made = Callable[..., Call]
OLD = datetime(2019, 3, 31, 23, 59, 50, tzinfo=UTC)


@pytest.fixture
async def old(rt: Runtime, call: Made) -> AsyncIterator[TenantId]:
    """Events over the end of a month years ago, sealed then, and events of today."""
    today = rt.clock.now()
    await run(rt, "SELECT auth_eventos_partitions('2019-03-01', 3)")
    tenant = a_tenant(rt)
    rt.clock.freeze(OLD)
    for number in range(8):
        rt.clock.freeze(OLD + timedelta(seconds=3 * number))
        await some_events(rt, call, tenant, 1)
        await seal_one(rt)
    await sign_due(rt)
    rt.clock.freeze(today)
    await some_events(rt, call, tenant, 3)
    await some_events(rt, call, None, 2)
    await seal_all(rt)
    assert await faults(rt) == []
    yield tenant
    for month in ("2019_03", "2019_04", "2019_05"):
        await run(rt, f"DROP TABLE IF EXISTS auth_eventos_{month}, auth_event_seals_{month}")


async def seal_one(rt: Runtime) -> None:
    for _ in range(400):
        if await seal_batch(rt):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the horizon does not move")


def months_kept(rt: Runtime, until: datetime) -> int:
    """How many months policy would have to keep to keep this one."""
    now = rt.clock.now()
    return (now.year - until.year) * 12 + now.month - until.month


async def partitions(rt: Runtime, parent: str) -> set[str]:
    async with rt.pg.autocommit() as tx:
        rows = await tx.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
            " WHERE inhparent = $1::text::regclass",
            parent,
        )
    return {row["name"].removeprefix(parent) for row in rows}


async def test_months_that_policy_keeps_no_longer_are_dropped_and_the_chain_stays_valid(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    assert (await checked(rt, old)).events == 11
    assert (
        await drop_old_months(
            rt,
            call(actor=Operator()),
        )
        == 3
    )
    result = await checked(rt, old)
    assert (result.events, result.findings) == (3, [])
    assert await faults(rt) == []
    for parent in ("auth_eventos", "auth_event_seals"):
        assert not {"_2019_03", "_2019_04", "_2019_05"} & await partitions(rt, parent)
    pruned = (await given.events(rt, "trail.pruned"))[-1]
    assert pruned["detail"]["months"] == 3
    assert await drop_old_months(rt, call(actor=Operator())) == 0
    await some_events(rt, call, old, 2)
    await seal_all(rt)
    assert (await checked(rt, old)).events == 5


async def test_checkpoints_go_with_what_they_signed_but_the_one_where_the_chain_begins(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    await sign_all(rt)
    assert await kinds_of_checkpoints(rt, old) == ["head", "head"]  # one then, one today
    assert await drop_old_months(rt, call(actor=Operator())) == 3
    assert await kinds_of_checkpoints(rt, old) == ["head", "retention"]
    assert await faults(rt, old) == []
    pruned = (await given.events(rt, "trail.pruned"))[-1]
    assert pruned["detail"]["checkpoints"] == 1


async def kinds_of_checkpoints(rt: Runtime, chain_id: TenantId) -> list[str]:
    async with rt.pg.reading() as tx:
        rows = await tx.fetch(
            "SELECT kind FROM auth_event_checkpoints WHERE chain_id = $1 ORDER BY kind", chain_id
        )
    return [row["kind"] for row in rows]


async def test_young_checkpoints_are_not_dropped_whoever_asks(rt: Runtime) -> None:
    with pytest.raises(asyncpg.PostgresError, match="last 80 days"):
        await run(rt, "SELECT auth_checkpoints_drop(now() - interval '79 days')")


async def test_who_may_add_a_checkpoint_drops_none_of_what_is_there(
    rt: Runtime, old: TenantId
) -> None:
    """One that says retention has come to the end of time."""
    await run(
        rt,
        "INSERT INTO auth_event_checkpoints"
        " SELECT gen_random_uuid(), chain_id, 9000000000, 'retention', now(), kid, public_jwk,"
        "        token, mac"
        "   FROM auth_event_checkpoints WHERE chain_id = $1",
        old,
    )
    before = await kinds_of_checkpoints(rt, old)
    assert before == ["head", "head", "retention", "retention"]
    await run(rt, "SELECT auth_checkpoints_drop(now() - interval '81 days')")
    assert await kinds_of_checkpoints(rt, old) == before


async def test_a_cut_between_two_months_leaves_the_later_one_verifiable(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    async with rt.pg.reading() as tx:
        later = await tx.fetchval(
            "SELECT count(*) FROM auth_eventos WHERE tenant_id = $1"
            " AND occurred_at >= '2019-04-01'",
            old,
        )
    assert 0 < later < 11
    keep = months_kept(rt, datetime(2019, 4, 1, tzinfo=UTC))
    policy = replace(rt.policy, audit=replace(rt.policy.audit, retention_months=keep))
    kept = dataclasses.replace(rt, policy=policy)
    assert await drop_old_months(kept, call(actor=Operator())) == 1
    result = await checked(rt, old)
    assert (result.events, result.findings) == (later, [])


async def test_removing_what_is_left_after_retention_is_still_found(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    await drop_old_months(rt, call(actor=Operator()))
    async with rt.pg.reading() as tx:
        first = await tx.fetchval(
            "SELECT event_id FROM auth_eventos WHERE tenant_id = $1 ORDER BY event_id LIMIT 1", old
        )
    await run(rt, "DELETE FROM auth_eventos WHERE event_id = $1", first)
    assert await faults(rt, old) == ["removed"]
    await run(rt, "DELETE FROM auth_event_seals WHERE event_id = $1", first)
    assert await faults(rt, old) == ["removed"]


async def test_what_is_removed_later_does_not_pass_for_what_retention_took(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    """The seal says when its event happened, and the chain vouches for what it says."""
    await drop_old_months(rt, call(actor=Operator()))
    await run(
        rt,
        "WITH gone AS (DELETE FROM auth_eventos WHERE tenant_id = $1"
        " AND event_type = 'session.moved' RETURNING event_id)"
        " UPDATE auth_event_seals s SET occurred_at = $2 FROM gone"
        " WHERE s.event_id = gone.event_id",
        old,
        OLD,
    )
    assert set(await faults(rt, old)) == {"changed", "removed"}
    assert (await checked(rt, old)).expired == 0


async def test_a_seal_dated_back_takes_nothing_out_of_what_is_checked(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    """Retention goes by the months of seals: one from the middle must not pull the cut along."""
    await run(
        rt,
        "UPDATE auth_event_seals s SET sealed_at = $2, occurred_at = $2 WHERE chain_id = $1"
        " AND position = (SELECT max(position) FROM auth_event_seals WHERE chain_id = $1)",
        old,
        OLD,
    )
    await run(
        rt,
        "UPDATE auth_eventos SET request_id = 'changed' WHERE event_id = (SELECT event_id FROM"
        " auth_event_seals WHERE chain_id = $1 AND position = 10)",
        old,
    )
    await drop_old_months(rt, call(actor=Operator()))
    found = (await checked(rt, old)).findings
    assert ("changed", 10) in {(one.fault, one.position) for one in found}


async def test_months_of_before_a_restore_are_dropped_too(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    """A restored database counts transactions anew: what it brought along stays past the mark."""
    await run(rt, "UPDATE auth_eventos SET recorded_xid = '900000005' WHERE tenant_id = $1", old)
    assert await drop_old_months(rt, call(actor=Operator())) == 3
    assert await faults(rt, old) == []


async def test_a_month_dropped_by_hand_is_not_retention(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    await run(rt, "SELECT auth_eventos_drop('2019-07-01')")
    assert "removed" in await faults(rt, old)


async def test_a_transaction_that_writes_there_is_waited_for_two_seconds_and_no_longer(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    """A drop that waits for its lock would hold up every event behind it."""
    began = rt.clock.monotonic()
    async with rt.pg.decision() as tx:
        await audit.record(tx, call(at=OLD), events.SignInFailed(tenant_id=old, why="unknown"))
        with pytest.raises(Refused, match="postgresql: LockNotAvailableError"):
            await drop_old_months(rt, call(actor=Operator()))
    assert rt.clock.monotonic() - began < 6
    assert "_2019_03" in await partitions(rt, "auth_eventos")
    assert await drop_old_months(rt, call(actor=Operator())) == 3
    assert await faults(rt) == []


async def test_the_last_80_days_are_dropped_by_nobody(rt: Runtime) -> None:
    with pytest.raises(asyncpg.RaiseError, match="80 days"):
        await run(rt, "SELECT auth_eventos_drop(now() - interval '79 days')")
