"""Chains of events to seal and to spoil."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from service.domain import audit
from service.domain.audit import events
from service.domain.seals import Checked
from service.flows.upkeep.sealing import seal, sign_due
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import SessionId, TenantId, UserId
from service.runtime import Runtime

Made = Callable[..., Call]


def a_tenant(rt: Runtime) -> TenantId:
    """A chain needs no organization, only its id."""
    return TenantId(ids.new(rt.clock.now()))


async def some_events(
    rt: Runtime,
    call: Made,
    tenant_id: TenantId | None,
    count: int,
    *,
    user_id: UserId | None = None,
) -> list[UUID]:
    """Record events, one transaction each; return their ids in order."""
    made = []
    for number in range(count):
        async with rt.pg.decision() as tx:
            event = events.SessionMoved(
                tenant_id=tenant_id,
                user_id=user_id or UserId(ids.new(rt.clock.now())),
                session_id=SessionId(ids.new(rt.clock.now())),
                network_before="192.0.2.0/24",
                network_now=f"198.51.{number % 250}.0/24",
                agent_changed=bool(number % 2),
            )
            await audit.record(tx, call(), event)
            made.append(
                await tx.fetchval(
                    "SELECT event_id FROM auth_eventos"
                    " WHERE recorded_xid = pg_current_xact_id() LIMIT 1"
                )
            )
    return made


async def seal_all(rt: Runtime) -> int:
    """Seal until nothing is left: a transaction elsewhere on the server may hold the horizon."""
    sealed = 0
    for _ in range(400):
        sealed += await seal(rt)
        async with rt.pg.reading() as tx:
            left = await tx.fetchval(
                "SELECT count(*) FROM auth_eventos e WHERE NOT EXISTS"
                " (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id)"
            )
        if not left:
            return sealed
        await asyncio.sleep(0.05)
    raise AssertionError("the horizon does not move")


async def sign_all(rt: Runtime) -> None:
    """Sign every chain that grew, as some minutes later."""
    rt.clock.advance(timedelta(seconds=rt.policy.audit.checkpoint_seconds))
    await sign_due(rt)


async def checked(rt: Runtime, chain_id: UUID | None = None, *saved: bytes) -> Checked:
    """Verify one chain, or all of them put together."""
    results = await verify_trail(rt, chain_id, saved=saved)
    whole = Checked(chain_id=chain_id or UUID(int=0))
    for one in results:
        whole.events += one.events
        whole.expired += one.expired
        whole.erased += one.erased
        whole.checkpoints += one.checkpoints
        whole.findings += one.findings
    return whole


async def faults(rt: Runtime, chain_id: UUID | None = None, *saved: bytes) -> list[str]:
    """Name what is wrong."""
    return [found.fault for found in (await checked(rt, chain_id, *saved)).findings]


async def run(rt: Runtime, statement: str, *arguments: object) -> str:
    """Spoil something by direct SQL, as the schema's owner."""
    async with rt.pg.autocommit() as tx:
        return await tx.execute(statement, *arguments)
