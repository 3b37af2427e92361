"""The set in memory never misses what the table says, whatever expires or is pruned when."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.revocations import Kind, Marks, Memory, Revocation
from service.domain.revocations.memory import MOST_WAITING
from service.kernel.refusal import Reason, Refused

AT = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def entry(
    seq: int,
    kind: Kind = Kind.JTI,
    value: str = "a",
    *,
    cutoff: datetime | None = None,
    lasts: timedelta = 10 * SECOND,
) -> Revocation:
    return Revocation(
        seq=seq,
        kind=kind,
        value=value,
        cutoff=cutoff,
        tenant_id=None,
        reason="tests",
        revoked_at=AT,
        expires_at=AT + lasts,
    )


def token(issued_at: datetime = AT, **given: str) -> Marks:
    return Marks(
        **{"jti": "j", "kid": "k", "sub": "u", "client_id": "c", **given},
        iat=int(issued_at.timestamp()),
    )


offsets = st.integers(0, 6).map(lambda n: n * SECOND)
jti = st.builds(lambda value, lasts: (Kind.JTI, value, None, lasts), st.sampled_from("ab"), offsets)
sub = st.builds(
    lambda value, cutoff, lasts: (Kind.SUB, value, AT + cutoff, lasts),
    st.sampled_from("ab"),
    offsets,
    offsets,
)
steps = st.lists(st.one_of(jti, sub, offsets), max_size=12)


@given(steps, offsets)
def test_what_any_entry_in_force_hits_the_memory_hits(
    steps: list[tuple[Kind, str, datetime | None, timedelta] | timedelta], last: timedelta
) -> None:
    memory, now = Memory(), AT
    entries: list[Revocation] = []
    for step in [*steps, last]:
        if isinstance(step, timedelta):
            now = max(now, AT + step)
            memory.prune(now)
        else:
            kind, value, cutoff, lasts = step
            made = entry(len(entries) + 1, kind, value, cutoff=cutoff, lasts=lasts)
            entries.append(made)
            memory.apply([made], made.seq)
    in_force = [e for e in entries if e.expires_at > now]
    for value in "ab":
        for iat in range(8):
            at = AT + iat * SECOND
            for marks in (token(at, jti=value), token(at, sub=value)):
                hit = any(
                    (e.kind, e.value) in marks.pairs() and e.hits(marks.iat) for e in in_force
                )
                assert memory.find(marks) is not None or not hit
    assert {e.seq for e in in_force} <= {e.seq for e in memory.after(0, 100)}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_token_is_hit_by_every_kind_it_bears_and_by_no_other_value(kind: Kind) -> None:
    cutoff = AT if kind in (Kind.SUB, Kind.TENANT_ID, Kind.CLIENT_ID) else None
    memory = Memory()
    memory.apply([entry(1, kind, "x", cutoff=cutoff)], 1)
    assert memory.find(token(AT, **{kind.value: "x"})) is not None
    assert memory.find(token(AT, **{kind.value: "y"})) is None
    assert memory.find(token()) is None
    assert memory.find_mark(kind, "x") is not None


@pytest.mark.parametrize(
    ("cutoff", "iat", "hit"),
    [
        (AT, AT - SECOND, True),
        (AT, AT, True),
        (AT + timedelta(microseconds=999_999), AT, True),
        (AT, AT + SECOND, False),
        (AT + timedelta(microseconds=999_999), AT + SECOND, False),
        (AT + SECOND, AT + SECOND, True),
    ],
)
def test_the_second_of_the_cutoff_itself_counts_as_before_it(
    cutoff: datetime, iat: datetime, *, hit: bool
) -> None:
    memory = Memory()
    memory.apply([entry(1, Kind.SUB, "u", cutoff=cutoff)], 1)
    assert (memory.find(token(iat)) is not None) is hit


def test_an_entry_that_was_applied_before_is_not_applied_again() -> None:
    memory = Memory()
    memory.apply([entry(1), entry(2, value="b")], 2)
    memory.apply([entry(1), entry(2, value="b"), entry(3, value="c")], 3)
    assert [e.seq for e in memory.after(0, 10)] == [1, 2, 3]
    assert memory.seq == 3


def test_a_page_follows_a_cursor_in_order_and_is_bounded() -> None:
    memory = Memory()
    memory.apply([entry(n, value=str(n)) for n in range(1, 8)], 9)
    assert [e.seq for e in memory.after(2, 3)] == [3, 4, 5]
    assert memory.after(7, 3) == []
    assert memory.seq == 9


def test_pruning_forgets_what_has_expired_and_keeps_the_cursor() -> None:
    memory = Memory()
    memory.apply([entry(1, lasts=SECOND), entry(2, value="b")], 2)
    memory.prune(AT + SECOND)
    assert memory.find(token(jti="a")) is None
    assert memory.find(token(jti="b")) is not None
    assert [e.seq for e in memory.after(0, 10)] == [2]
    assert (len(memory), memory.seq) == (1, 2)


async def test_news_end_a_wait_at_once_and_silence_ends_it_in_time() -> None:
    memory = Memory()
    waiting = [asyncio.create_task(memory.news("orders", 30)) for _ in range(3)]
    await asyncio.sleep(0)
    memory.apply([entry(1)], 1)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    await asyncio.wait_for(memory.news("orders", 0.01), 5)


async def test_one_reader_waits_a_bounded_number_of_times_and_takes_no_place_of_others() -> None:
    memory = Memory()
    waiting = [asyncio.create_task(memory.news("orders", 30)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await memory.news("orders", 30)
    assert (refused.value.reason, refused.value.retry_after) == (Reason.TOO_MANY, 1)
    await memory.news("billing", 0.01)
    waiting[0].cancel()
    memory.apply([entry(1)], 1)
    await asyncio.gather(*waiting, return_exceptions=True)
    await memory.news("orders", 0.01)
    assert not memory._waiting
