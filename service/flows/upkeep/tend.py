"""The background tasks of a worker: clock, key ring, password schemes, partitions and more."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from uuid import uuid4

from service.domain import audit, users
from service.flows.upkeep.api_keys import end_expired_keys, settle_keys
from service.flows.upkeep.key_schedule import rotate_when_due
from service.flows.upkeep.sealing import seal
from service.kernel import metrics
from service.kernel.call import Call, Operator
from service.kernel.log import log, place
from service.kernel.refusal import Refused
from service.runtime import Runtime

_PARTITION_MONTHS = 3


async def tend(rt: Runtime) -> None:
    """Run all tasks forever.  A failure is logged once, and the next round tries again."""
    await asyncio.gather(
        _repeat("postgresql host", 0.25, lambda: leave_silent_host(rt)),
        _repeat("clock", 15, lambda: rt.clock.discipline(rt.pg.now)),
        _repeat("key ring", 5, lambda: rt.keyring.refresh(rt.pg)),
        _repeat("key schedule", 60, lambda: follow_key_schedule(rt)),
        _repeat("password schemes", 5, lambda: learn_schemes(rt)),
        _repeat("gauges", 1, lambda: read_gauges(rt)),
        _repeat("api keys", 2, lambda: settle_keys(rt)),
        _repeat("ends of api keys", 0.25, lambda: end_expired_keys(rt)),
        _repeat("seals", 1, lambda: seal(rt)),
        _repeat("partitions", 3600, lambda: make_partitions(rt)),
    )


async def leave_silent_host(rt: Runtime) -> None:
    """Close connections to a database host that does not answer, when another host does."""
    doubtful = rt.pg.is_unsure or not rt.revocations.is_fresh()
    if doubtful and await rt.pg.leave_silent():
        log().warning("postgresql: a host is left, since it does not answer")


async def finish(rt: Runtime) -> None:
    """Write, before the process ends, what would be lost with it."""
    with contextlib.suppress(Refused):
        await settle_keys(rt)


async def learn_schemes(rt: Runtime) -> None:
    """Learn the stored password schemes, so that the time of a refusal hides an account's one."""
    async with rt.pg.reading() as tx:
        schemes = await users.list_schemes(tx)
    rt.passwords.learn_schemes(scheme.example for scheme in schemes)


async def follow_key_schedule(rt: Runtime) -> None:
    """Publish the next signing key when it is due."""
    call = Call(request_id=f"upkeep-{uuid4().hex}", at=rt.clock.now(), actor=Operator())
    await rotate_when_due(rt, call)


async def read_gauges(rt: Runtime) -> None:
    """Set this worker's gauges."""
    metrics.staleness.set(rt.revocations.staleness())
    metrics.revocations.set(len(rt.revocations.memory))
    metrics.clock_skew.set(abs(rt.clock.skew().total_seconds()))
    for state, count in rt.pg.gauges().items():
        metrics.pool.labels(state).set(count)


async def make_partitions(rt: Runtime) -> None:
    """Make the audit trail's partitions for the coming months."""
    async with rt.pg.autocommit() as tx:
        await audit.make_partitions(tx, rt.clock.now(), _PARTITION_MONTHS)


async def _repeat(task: str, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    failing = False
    while True:
        try:
            await act()
            failing = False
        except Exception as exc:  # noqa: BLE001 - upkeep outlives every fault
            if not failing:
                log().warning(
                    "upkeep failed", task=task, error=type(exc).__name__, where=place(exc)
                )
            failing = True
        await asyncio.sleep(seconds)
