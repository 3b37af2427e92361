"""The table: `seq` is in the order of commits, without a hole a reader could step over."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from service.domain import revocations
from service.domain.revocations import Kind, Marks, Revocation
from service.kernel.postgres import Decision
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

AT = datetime(2030, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(minutes=15)


async def revoke(
    tx: Decision, *values: str, kind: Kind = Kind.JTI, expires_at: datetime = LATER
) -> list[Revocation]:
    return await revocations.revoke(
        tx, kind, values, tenant_id=None, reason="tests", at=AT, expires_at=expires_at
    )


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_that_follows_the_head_misses_nothing_while_writers_race_and_roll_back(
    rt: Runtime, seed: int
) -> None:
    dice = random.Random(seed)
    fates = [(n, dice.random(), dice.randint(1, 3)) for n in range(40)]
    writing = True

    async def write(n: int, fate: float, many: int) -> None:
        values = [f"{n}-{m}" for m in range(many)]
        try:
            async with rt.pg.decision() as tx:
                await asyncio.sleep(fate / 50)
                await revoke(tx, *values)
                await asyncio.sleep(fate / 100)
                if fate < 0.3:
                    raise ZeroDivisionError
                if fate < 0.4:
                    raise Refused(Reason.FORBIDDEN)  # commits all the same
        except (ZeroDivisionError, Refused):
            pass

    async def read() -> list[Revocation]:
        seen: list[Revocation] = []
        cursor, last = 0, False
        while not last:
            last = not writing
            async with rt.pg.reading() as tx:
                head = (await revocations.read_head(tx)).seq
                page = await revocations.list_after(tx, cursor, AT, 5)
            seen += page
            # What the head promised is there: nothing below it appears afterwards.
            if len(page) < 5:
                assert not page or page[-1].seq >= head
                cursor = max(head, cursor, *(e.seq for e in page), 0)
            else:
                cursor, last = page[-1].seq, False
            await asyncio.sleep(0)
        return seen

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.gather(*(write(*fate) for fate in fates))
    writing = False
    expected = {f"{n}-{m}" for n, fate, many in fates if fate >= 0.3 for m in range(many)}
    for reader in readers:
        seen = await reader
        assert [e.seq for e in seen] == list(range(1, len(expected) + 1))
        assert {e.value for e in seen} == expected


async def test_what_is_rolled_back_takes_no_number(rt: Runtime) -> None:
    async with rt.pg.decision() as tx:
        await revoke(tx, "a", "b")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is the transaction
        async with rt.pg.decision() as tx:
            await revoke(tx, "c", "d")
            raise ZeroDivisionError
    async with rt.pg.decision() as tx:
        assert [e.seq for e in await revoke(tx, "e")] == [3]
        assert (await revocations.read_head(tx)).seq == 3


async def test_several_at_once_stand_in_the_order_given_and_none_is_none(rt: Runtime) -> None:
    async with rt.pg.decision() as tx:
        assert await revoke(tx) == []
        made = await revoke(tx, "z", "a", "m")
    assert [(e.seq, e.value) for e in made] == [(1, "z"), (2, "a"), (3, "m")]


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_kind_that_spares_what_comes_after_has_a_cutoff_and_no_other_has(
    rt: Runtime, kind: Kind
) -> None:
    async with rt.pg.decision() as tx:
        (made,) = await revoke(tx, "x", kind=kind)
    spares = kind in (Kind.SUB, Kind.TENANT_ID, Kind.CLIENT_ID)
    assert made.cutoff == (AT if spares else None)
    before, after = int(AT.timestamp()), int(AT.timestamp()) + 1
    named = {"jti": "j", "kid": "k", "sub": "u", "client_id": "c", kind.value: "x"}
    async with rt.pg.reading() as tx:
        assert await revocations.find_any(tx, Marks(**named, iat=before), AT) == made
        assert (await revocations.find_any(tx, Marks(**named, iat=after), AT) is None) is spares


async def test_what_has_expired_is_neither_listed_nor_found_and_can_be_dropped(
    rt: Runtime,
) -> None:
    async with rt.pg.decision() as tx:
        await revoke(tx, "old", expires_at=AT + timedelta(seconds=1))
        await revoke(tx, "new")
        now = AT + timedelta(seconds=1)
        assert [e.value for e in await revocations.list_after(tx, 0, now, 10)] == ["new"]
        marks = Marks(jti="old", iat=0, kid="k", sub="u", client_id="c")
        assert await revocations.find_any(tx, marks, now) is None
        dropped = await revocations.prune(tx, AT, now + timedelta(seconds=1), 9)
        assert (dropped.rows, dropped.upto) == (1, now)
        assert (await revocations.read_head(tx)).seq == 2
