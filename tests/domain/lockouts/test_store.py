"""The counter on real rows: attempts queue on a lock and see one another."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from service.domain import lockouts
from service.domain.lockouts import Rules, Strikes
from service.kernel.ids import DeviceId
from service.runtime import Runtime

AT = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
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


async def test_the_first_attempt_is_reserved_in_one_statement_as_the_model_would(
    rt: Runtime,
) -> None:
    second = timedelta(seconds=1)
    held = [(), (AT - 20 * MINUTE,), (AT - second,), tuple(AT - n * second for n in range(5))]
    locks = [None, AT - second, AT, AT + second]
    routine = 0
    for attempts, locked_until in itertools.product(held, locks):
        subject = uuid4()
        async with rt.pg.decision() as tx:
            await lockouts.reserve(tx, subject, None, AT - HOUR, RULES)
            await tx.execute(
                "UPDATE auth_lockouts SET attempts = $2, locked_until = $3 WHERE subject_id = $1",
                subject,
                list(attempts),
                locked_until,
            )
            decided = await lockouts.reserve_first(tx, subject, None, AT)
            after = await tx.fetchrow(
                "SELECT attempts, locked_until FROM auth_lockouts WHERE subject_id = $1", subject
            )
        assert after is not None
        before = Strikes(attempts, locked_until)
        expected = before.reserve(AT, RULES) if decided else before
        assert Strikes(tuple(after["attempts"]), after["locked_until"]) == expected
        assert decided == (not attempts and not before.locked(AT))
        routine += decided
    assert routine == 3


async def test_of_many_first_attempts_at_once_one_is(rt: Runtime) -> None:
    subject = uuid4()

    async def reserve() -> bool:
        async with rt.pg.autocommit() as tx:
            return await lockouts.reserve_first(tx, subject, None, AT)

    assert sum(await asyncio.gather(*(reserve() for _ in range(20)))) == 1
