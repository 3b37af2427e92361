"""Gathering: nobody waits who need not, and nobody's fate is another's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.kernel.batch import Batcher


class Gate:
    """A round trip that ends when it is told to; remembers who rode."""

    def __init__(self) -> None:
        self.flights: list[list[str]] = []
        self._open = asyncio.Event()

    async def __call__(self, asked: list[str]) -> list[str]:
        self.flights.append(asked)
        await self._open.wait()
        return [question.upper() for question in asked]

    def open(self) -> None:
        self._open.set()


def batcher(
    ask: Callable[[list[str]], Awaitable[list[str]]], *, flights: int = 1, most: int = 128
) -> Batcher[str, str]:
    """Make one whose key is a question's first letter."""
    return Batcher(ask, key=lambda question: question[0], flights=flights, most=most)


async def asking(b: Batcher[str, str], *questions: str) -> list["asyncio.Task[str]"]:
    tasks = [asyncio.create_task(b.ask(question)) for question in questions]
    await asyncio.sleep(0)  # all have asked
    await asyncio.sleep(0)  # their turn is over
    await asyncio.sleep(0)  # who could, has taken off
    return tasks


async def test_idle_a_question_is_sent_at_once_and_alone() -> None:
    gate = Gate()
    await asking(batcher(gate), "a")
    assert gate.flights == [["a"]]
    gate.open()


async def test_who_asks_in_the_same_turn_rides_along() -> None:
    gate = Gate()
    await asking(batcher(gate, flights=4), *"abc")
    assert gate.flights == [["a", "b", "c"]]
    gate.open()


async def test_what_arrives_while_all_flights_are_out_shares_the_next() -> None:
    gate = Gate()
    b = batcher(gate)
    first = await asking(b, "a")
    rest = await asking(b, "b", "c", "d")
    assert gate.flights == [["a"]]
    gate.open()
    assert await asyncio.gather(*first, *rest) == ["A", "B", "C", "D"]
    assert gate.flights == [["a"], ["b", "c", "d"]]


async def test_one_key_never_rides_twice_in_one_flight_and_keeps_its_order() -> None:
    gate = Gate()
    b = batcher(gate)
    first = await asking(b, "x")
    rest = await asking(b, "a1", "b1", "a2", "b2", "a3")
    gate.open()
    assert await asyncio.gather(*first, *rest) == ["X", "A1", "B1", "A2", "B2", "A3"]
    assert gate.flights == [["x"], ["a1", "b1"], ["a2", "b2"], ["a3"]]


async def test_a_flight_is_never_longer_than_its_bound_and_nobody_is_left_behind() -> None:
    gate = Gate()
    b = batcher(gate, most=2)
    first = await asking(b, "x")
    rest = await asking(b, *"abcde")
    gate.open()
    await asyncio.gather(*first, *rest)
    assert [len(flight) for flight in gate.flights] == [1, 2, 2, 1]


async def test_no_more_flights_are_out_than_allowed() -> None:
    gate = Gate()
    tasks = await asking(batcher(gate, flights=2, most=1), *"abcd")
    assert gate.flights == [["a"], ["b"]]
    gate.open()
    assert await asyncio.gather(*tasks) == ["A", "B", "C", "D"]


async def test_an_error_reaches_everyone_who_rode_and_nobody_else() -> None:
    async def ask(asked: list[str]) -> list[str]:
        await asyncio.sleep(0)
        if "b" in asked:
            raise ConnectionError("lost")
        return asked

    b = batcher(ask)
    first = await asking(b, "a")
    rode = await asking(b, "b", "c")
    told = await asyncio.gather(*first, *rode, return_exceptions=True)
    assert told[0] == "a"
    assert [type(answer) for answer in told[1:]] == [ConnectionError, ConnectionError]
    assert await b.ask("d") == "d"


async def test_an_answer_too_few_is_an_error_for_all_and_leaves_nobody_waiting() -> None:
    async def ask(asked: list[str]) -> list[str]:
        return asked[1:]

    with pytest.raises(ValueError, match="1 questions, 0 answers"):
        await asyncio.wait_for(batcher(ask).ask("a"), 5)


async def test_one_who_stops_waiting_disturbs_nobody() -> None:
    gate = Gate()
    b = batcher(gate)
    first = await asking(b, "a")
    rest = await asking(b, "b", "c")
    first[0].cancel()
    rest[0].cancel()
    await asyncio.sleep(0)
    gate.open()
    assert await rest[1] == "C"
    assert await b.ask("d") == "D"
