"""The counter on real rows: attempts queue on a lock and see one another."""

import asyncio
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from service.domain import lockouts
from service.domain.lockouts import Admission, Outcome, Rules, Strikes
from service.kernel import ids
from service.kernel.ids import DeviceId
from service.kernel.sql import Tx
from service.runtime import Runtime

AT = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RULES = Rules(5, timedelta(minutes=15), timedelta(minutes=15))


async def reserve(
    tx: Tx, subject: UUID, device: DeviceId | None = None, at: datetime = AT
) -> tuple[Admission, UUID]:
    attempt = ids.new(at)
    return await lockouts.reserve(tx, subject, device, attempt, at, RULES), attempt


async def fail(tx: Tx, subject: UUID, device: DeviceId | None = None) -> Outcome:
    """Reserve an attempt and find it wrong."""
    admission, attempt = await reserve(tx, subject, device)
    assert admission is Admission.ADMITTED
    return await lockouts.fail(tx, subject, device, attempt, AT, RULES)


async def test_of_many_at_once_five_are_admitted(rt: Runtime) -> None:
    subject = uuid4()

    async def one() -> Admission:
        async with rt.pg.decision() as tx:
            return (await reserve(tx, subject))[0]

    told = Counter(await asyncio.gather(*(one() for _ in range(40))))
    assert told == {Admission.ADMITTED: 5, Admission.CROWDED: 35}
    async with rt.pg.reading() as tx:
        assert not await lockouts.has_room(tx, subject, None, AT, RULES)
        assert await lockouts.has_room(tx, subject, None, AT + MINUTE, RULES)
        assert await lockouts.has_room(tx, uuid4(), None, AT, RULES)


async def test_each_known_device_has_a_counter_of_its_own(rt: Runtime) -> None:
    subject, device = uuid4(), DeviceId(uuid4())
    async with rt.pg.decision() as tx:
        for _ in range(5):
            await fail(tx, subject)
        assert (await reserve(tx, subject))[0] is Admission.LOCKED
        assert (await reserve(tx, subject, device))[0] is Admission.ADMITTED
        assert (await reserve(tx, uuid4()))[0] is Admission.ADMITTED


async def test_exactly_one_failure_says_that_it_locked(rt: Runtime) -> None:
    subject = uuid4()
    async with rt.pg.decision() as tx:
        admitted = [(await reserve(tx, subject))[1] for _ in range(5)]
        told = [await lockouts.fail(tx, subject, None, one, AT, RULES) for one in admitted]
    assert told == [Outcome.COUNTED] * 4 + [Outcome.LOCKED]


async def test_a_right_password_forgets_the_failures_and_leaves_the_others_their_places(
    rt: Runtime,
) -> None:
    subject = uuid4()
    async with rt.pg.decision() as tx:
        for _ in range(3):
            await fail(tx, subject)
        (_, right), (_, wrong) = await reserve(tx, subject), await reserve(tx, subject)
        assert (await reserve(tx, subject))[0] is Admission.CROWDED
        assert await lockouts.clear(tx, subject, None, right, AT)
        assert not await lockouts.clear(tx, subject, None, right, AT)
        assert await lockouts.fail(tx, subject, None, wrong, AT, RULES) is Outcome.COUNTED
        for _ in range(3):
            await fail(tx, subject)
        assert await fail(tx, subject) is Outcome.LOCKED


async def test_what_is_given_back_is_given_back_once_and_is_no_failure(rt: Runtime) -> None:
    subject = uuid4()
    async with rt.pg.decision() as tx:
        for _ in range(4):
            await fail(tx, subject)
        _, shed = await reserve(tx, subject)
        assert await lockouts.release(tx, subject, None, shed)
        assert not await lockouts.release(tx, subject, None, shed)
        assert await lockouts.fail(tx, subject, None, shed, AT, RULES) is Outcome.LAPSED
        assert await fail(tx, subject) is Outcome.LOCKED


async def test_pruning_forgets_what_is_old_and_never_a_lock_in_force(rt: Runtime) -> None:
    old, locked = uuid4(), uuid4()
    async with rt.pg.decision() as tx:
        await reserve(tx, old)
        for _ in range(5):
            await fail(tx, locked)
        assert (await lockouts.prune(tx, AT - MINUTE, AT + MINUTE, 9)).rows == 1
        assert (await reserve(tx, locked, at=AT + MINUTE))[0] is Admission.LOCKED


async def test_the_first_attempt_is_reserved_in_one_statement_as_the_model_would(
    rt: Runtime,
) -> None:
    second = timedelta(seconds=1)
    failed = [(), (AT - 20 * MINUTE,), (AT - second,), tuple(AT - n * second for n in range(5))]
    under_way = [(), (ids.new(AT),), (ids.new(AT - MINUTE),)]
    locks = [None, AT - second, AT, AT + second]
    routine = 0
    for before in itertools.starmap(Strikes, itertools.product(failed, under_way, locks)):
        subject, attempt = uuid4(), ids.new(AT)
        async with rt.pg.decision() as tx:
            await reserve(tx, subject, at=AT - HOUR)
            await tx.execute(
                "UPDATE auth_lockouts SET attempts = $2, under_way = $3, locked_until = $4"
                " WHERE subject_id = $1",
                subject,
                list(before.attempts),
                list(before.under_way),
                before.locked_until,
            )
            decided = await lockouts.reserve_first(tx, subject, None, attempt, AT)
            after = await tx.fetchrow(
                "SELECT attempts, under_way, locked_until FROM auth_lockouts WHERE subject_id = $1",
                subject,
            )
        assert after is not None
        expected = before.reserve(attempt, AT, RULES) if decided else before
        found = Strikes(tuple(after[0]), tuple(after[1]), after[2])
        assert found == expected
        free = not before.attempts and not before.under_way
        assert decided == (free and not before.locked(AT))
        routine += decided
    assert routine == 3


async def test_of_many_first_attempts_at_once_one_is(rt: Runtime) -> None:
    subject = uuid4()

    async def one() -> bool:
        async with rt.pg.autocommit() as tx:
            return await lockouts.reserve_first(tx, subject, None, ids.new(AT), AT)

    assert sum(await asyncio.gather(*(one() for _ in range(20)))) == 1
