"""The counter on real rows: attempts queue on a lock and see one another."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from service.domain import lockouts
from service.domain.lockouts import Rules
from service.kernel.ids import DeviceId
from service.runtime import Runtime

AT = datetime(2030, 1, 1, tzinfo=UTC)
RULES = Rules(5, timedelta(minutes=15), timedelta(minutes=15))


async def test_of_many_at_once_five_are_admitted(rt: Runtime) -> None:
    subject = uuid4()

    async def reserve() -> bool:
        async with rt.pg.decision() as tx:
            return await lockouts.reserve(tx, subject, None, AT, RULES)

    assert sum(await asyncio.gather(*(reserve() for _ in range(40)))) == 5


async def test_each_known_device_has_a_counter_of_its_own(rt: Runtime) -> None:
    subject, device = uuid4(), DeviceId(uuid4())
    async with rt.pg.decision() as tx:
        for _ in range(5):
            assert await lockouts.reserve(tx, subject, None, AT, RULES)
            await lockouts.fail(tx, subject, None, AT, AT, RULES)
        assert not await lockouts.reserve(tx, subject, None, AT, RULES)
        assert await lockouts.reserve(tx, subject, device, AT, RULES)
        assert await lockouts.reserve(tx, uuid4(), None, AT, RULES)


async def test_exactly_one_failure_says_that_it_locked(rt: Runtime) -> None:
    subject = uuid4()
    async with rt.pg.decision() as tx:
        for _ in range(5):
            assert await lockouts.reserve(tx, subject, None, AT, RULES)
        told = [await lockouts.fail(tx, subject, None, AT, AT, RULES) for _ in range(5)]
    assert told.count(True) == 1


async def test_a_right_password_clears_unless_the_account_was_locked_meanwhile(
    rt: Runtime,
) -> None:
    subject = uuid4()
    async with rt.pg.decision() as tx:
        for _ in range(4):
            await lockouts.reserve(tx, subject, None, AT, RULES)
            await lockouts.fail(tx, subject, None, AT, AT, RULES)
        assert await lockouts.clear(tx, subject, None, AT)
        for _ in range(5):
            assert await lockouts.reserve(tx, subject, None, AT, RULES)
            await lockouts.fail(tx, subject, None, AT, AT, RULES)
        assert not await lockouts.clear(tx, subject, None, AT)
        assert not await lockouts.reserve(tx, subject, None, AT, RULES)


async def test_pruning_forgets_what_is_old_and_never_a_lock_in_force(rt: Runtime) -> None:
    old, locked = uuid4(), uuid4()
    async with rt.pg.decision() as tx:
        await lockouts.reserve(tx, old, None, AT, RULES)
        for _ in range(5):
            await lockouts.reserve(tx, locked, None, AT, RULES)
            await lockouts.fail(tx, locked, None, AT, AT, RULES)
        assert await lockouts.prune(tx, AT + timedelta(minutes=1)) == 1
        assert not await lockouts.reserve(tx, locked, None, AT + timedelta(minutes=1), RULES)
