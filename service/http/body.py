"""Reading a request's body, with limits on its time and its pieces."""

import asyncio
from typing import cast

from litestar.types import HTTPReceiveMessage, Receive, WebSocketReceiveMessage

from service.kernel.clock import Clock
from service.kernel.refusal import Reason, Refused

_SECONDS = 10.0
"""How long a body may take to arrive, from the first read: as long as a request's headers."""
_LOOK_SECONDS = 0.5
_MOST_DRAINED = 64 * 1024
"""How many bytes of an unwanted body are read."""
_MOST_PIECES = 1024
"""Pieces of a body.  Each costs a trip through the server's threads, and may be one byte."""

Task = asyncio.Task[object]


class Patience:
    """Cancels tasks that wait too long for a body.  One per process.

    It checks all of them now and then.  A timer for each (asyncio.timeout) would cost as much as
    all other work of reading a small body.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._waiting: dict[Task, float] = {}
        self._ended: set[Task] = set()
        self._looking = False

    def begin(self, task: Task, until: float) -> None:
        """Let a task wait until a moment of the monotonic clock, then cancel it."""
        self._waiting[task] = until
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def end(self, task: Task) -> bool:
        """End a wait; return whether it was cancelled because of its time, and only for that."""
        self._waiting.pop(task, None)
        if task not in self._ended:
            return False
        self._ended.remove(task)
        return task.uncancel() <= 0

    def _look(self) -> None:
        now = self.clock.monotonic()
        for task in [task for task, until in self._waiting.items() if until <= now]:
            del self._waiting[task]
            self._ended.add(task)
            task.cancel()
        self._looking = bool(self._waiting)
        if self._looking:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)


class Body:
    """The body of a request, as ASGI's `receive`.

    Refused: TOO_SLOW when it takes too long; INVALID_REQUEST when it has too many pieces.

    It is complete when it has the announced size.  Waiting for the server to say so would cost
    another trip through its threads: half the cost of reading a small body.
    """

    def __init__(
        self, receive: Receive, announced: int | None, patience: Patience, *, whole: bool = False
    ) -> None:
        self._receive = receive
        self._left = announced
        self._patience = patience
        self._until = 0.0
        self._pieces = 0
        self.whole = whole
        """Whether all of it was read."""

    async def drain(self) -> bool:
        """Read the rest of a body, unless it is long or slow; return whether it is complete.

        If it is not, the connection's next request would begin in the middle of this body.
        """
        left = _MOST_DRAINED
        try:
            while not self.whole and (self._left or 0) <= left and left >= 0:
                message = await self()
                if message["type"] != "http.request":
                    return False
                left -= len(message["body"])
        except Refused:
            pass
        return self.whole

    async def __call__(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Return the next message."""
        if self.whole:
            return await self._receive()  # what is left to hear is that the caller has gone
        self._pieces += 1
        if self._pieces > _MOST_PIECES:
            raise Refused(Reason.INVALID_REQUEST, "the body comes in too many pieces")
        self._until = self._until or self._patience.clock.monotonic() + _SECONDS
        task = cast("Task", asyncio.current_task())
        self._patience.begin(task, self._until)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self._patience.end(task):
                raise Refused(Reason.TOO_SLOW) from None
            raise
        except BaseException:
            self._patience.end(task)
            raise
        self._patience.end(task)
        if self._left is not None and message["type"] == "http.request":
            self._left -= len(message["body"])
            if self._left == 0:
                message["more_body"] = False
        self.whole = not message.get("more_body", False)
        return message
