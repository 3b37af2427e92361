"""Batches questions to a server, so that many share one round trip.

Questions that arrive in the same turn of the event loop share a round trip.  So do questions that
arrive while as many round trips as allowed are in flight.  An idle worker therefore adds no delay,
and a busy one pays one round trip, and one commit, for many questions.  Two questions with the same
key never share a round trip.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batcher(Generic[Question, Answer]):
    """Sends batches of at most `most` questions; at most `flights` round trips run at a time."""

    def __init__(
        self,
        ask: Callable[[list[Question]], Awaitable[list[Answer]]],
        key: Callable[[Question], Hashable],
        *,
        flights: int = 2,
        most: int = 128,
    ) -> None:
        self._ask = ask
        self._key = key
        self._flights = flights
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._flying: set[asyncio.Task[None]] = set()
        self._called = False

    async def ask(self, question: Question) -> Answer:
        """Ask a question and return its answer.  An error of the round trip reaches every asker."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._called and len(self._flying) < self._flights:
            self._called = True
            loop.call_soon(self._take_off)
        return await answer

    def _take_off(self) -> None:
        self._called = False
        while self._waiting and len(self._flying) < self._flights:
            flight = asyncio.ensure_future(self._fly(self._board()))
            self._flying.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: "asyncio.Task[None]") -> None:
        self._flying.discard(flight)
        self._take_off()

    def _board(self) -> list[tuple[Question, "asyncio.Future[Answer]"]]:
        seen: set[Hashable] = set()
        aboard: list[tuple[Question, asyncio.Future[Answer]]] = []
        left: list[tuple[Question, asyncio.Future[Answer]]] = []
        for seat in self._waiting:
            key = self._key(seat[0])
            if len(aboard) < self._most and key not in seen:
                seen.add(key)
                aboard.append(seat)
            else:
                left.append(seat)
        self._waiting = left
        return aboard

    async def _fly(self, aboard: list[tuple[Question, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._ask([question for question, _ in aboard])
            if len(answers) != len(aboard):
                raise ValueError(f"{len(aboard)} questions, {len(answers)} answers")  # noqa: TRY301
        except Exception as exc:  # noqa: BLE001 - passed on to every asker
            for _, waiting in aboard:
                if not waiting.done():
                    waiting.set_exception(exc)
            return
        for (_, waiting), answer in zip(aboard, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
