"""The audit trail in motion: events, seals, checkpoints, erasures and retention, all at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from msgspec import structs

from service.domain import audit
from service.domain.audit import events
from service.flows.people.erase_person import erase_person
from service.flows.upkeep.retention import drop_old_months
from service.flows.upkeep.sealing import seal
from service.kernel import ids
from service.kernel.call import Call, Operator
from service.kernel.ids import TenantId, UserId
from service.kernel.refusal import Refused
from service.runtime import Runtime

CHAINS = 40
"""Organizations: so many that looking at all of them takes longer than a seal."""

_OLD = datetime(2019, 3, 15, tzinfo=UTC)
_PAUSE = 0.05

Newcomer = Callable[[], Awaitable[tuple[TenantId, UserId]]]
"""Makes a person who is to be erased, and says in which organization."""


@asynccontextmanager
async def in_motion(rt: Runtime, newcomer: Newcomer) -> AsyncIterator[Counter[str]]:
    """Keep the trail moving, signed at every seal; lend a count of what was done, by what it is."""
    audited = structs.replace(rt.policy.audit, checkpoint_events=1)
    rt = replace(rt, policy=structs.replace(rt.policy, audit=audited))
    done: Counter[str] = Counter()
    chains = [TenantId(ids.new(rt.clock.now())) for _ in range(CHAINS)]
    for chain in chains:
        await _record(rt, chain, 1)
    acts = {
        "events": lambda: _record(rt, chains[-1], 3),  # those that are looked at last
        "sealed": lambda: seal(rt),
        "erased": lambda: _erase(rt, newcomer),
        "months dropped": lambda: _retain(rt),
    }

    async def keep(name: str, act: Callable[[], Awaitable[int]]) -> None:
        while True:
            done[name] += await act()
            await asyncio.sleep(_PAUSE)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keep(name, act)) for name, act in acts.items()]
        try:
            yield done
        finally:
            for task in tasks:
                task.cancel()


async def _record(
    rt: Runtime,
    chain: TenantId,
    count: int,
    *,
    at: datetime | None = None,
    user_id: UserId | None = None,
) -> int:
    for _ in range(count):
        async with rt.pg.decision() as tx:
            moved = events.SessionMoved(
                tenant_id=chain,
                user_id=user_id,
                network_before="192.0.2.0/24",
                network_now="198.51.100.0/24",
                agent_changed=True,
            )
            await audit.record(tx, _call(rt, at), moved)
    return count


async def _erase(rt: Runtime, newcomer: Newcomer) -> int:
    chain, person = await newcomer()
    await _record(rt, chain, 3, user_id=person)
    await seal(rt)
    await erase_person(rt, _call(rt), person)
    return 1


async def _retain(rt: Runtime) -> int:
    """Let a chain begin in a month of years ago, and drop that month."""
    chain = TenantId(ids.new(rt.clock.now()))
    await _until(lambda: _month_is_there(rt))
    await _record(rt, chain, 3, at=_OLD)
    await _record(rt, chain, 2)
    await _until(lambda: _seals_are_old(rt, chain))
    dropped = 0

    async def drop() -> bool:
        nonlocal dropped
        with suppress(Refused):  # it is verified right now, or not all is sealed
            dropped = await drop_old_months(rt, _call(rt))
        return dropped > 0

    await _until(drop)
    return dropped


async def _month_is_there(rt: Runtime) -> bool:
    async with rt.pg.autocommit() as tx:
        await audit.make_partitions(tx, _OLD, 1)  # none is made while the trail is verified
        return bool(await audit.list_months(tx, _OLD + timedelta(days=31)))


async def _seals_are_old(rt: Runtime, chain: TenantId) -> bool:
    """Have the seals of events of years ago made then; False while they are not made at all."""
    await seal(rt)
    async with rt.pg.autocommit() as tx:
        done = await tx.execute(
            "UPDATE auth_event_seals SET sealed_at = occurred_at"
            " WHERE chain_id = $1 AND occurred_at = $2",
            *(chain, _OLD),
        )
    return done == "UPDATE 3"


async def _until(act: Callable[[], Awaitable[bool]]) -> None:
    while not await act():
        await asyncio.sleep(_PAUSE)


def _call(rt: Runtime, at: datetime | None = None) -> Call:
    return Call(
        request_id=uuid4().hex,
        at=at or rt.clock.now(),
        actor=Operator(),
        ip="198.51.100.1",
        user_agent="faults",
    )
