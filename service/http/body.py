"""A caller's body on its way in: when it is whole, and how long that may take."""

import asyncio
from typing import cast

from litestar.types import HTTPReceiveMessage, Receive, WebSocketReceiveMessage

from service.kernel.clock import Clock
from service.kernel.refusal import Reason, Refused

_SECONDS = 10.0
"""From the first look at a body this long until it is here: as long as for a request's headers."""
_LOOK_SECONDS = 0.5
_MOST_DRAINED = 64 * 1024
"""Bytes that are read of a body nobody wants."""
_MOST_PIECES = 1024
"""Of a body: each is a way through the server's threads, and a chunk may hold a single byte."""

Task = asyncio.Task[object]


class Patience:
    """Who waits for a body, and until when.  One per process.

    One look now and then at all of them: a timer for each (asyncio.timeout) costs as much as all
    else that is done to read a small body.
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
        """End a wait; tell whether it was cancelled from here and by nobody else."""
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
    """What a caller sends, as ASGI's `receive`.

    Refused: TOO_SLOW when it takes too long; INVALID_REQUEST when it comes in crumbs.

    It is whole when as much is here as was announced: to hear that from the server would be another
    way through its threads, half of what reading a small body costs.
    """

    def __init__(
        self, receive: Receive, announced: int | None, patience: Patience, *, whole: bool = False
    ) -> None:
        self._receive = receive
        self._left = announced
        self._patience = patience
        self._until = 0.0
        self._pieces = 0
        self._whole = whole

    async def drain(self) -> bool:
        """Read what nobody read, unless it is long or slow; tell whether the body is whole then.

        Where it is not, the connection's next request would begin in the middle of this body.
        """
        left = _MOST_DRAINED
        try:
            while not self._whole and (self._left or 0) <= left and left >= 0:
                message = await self()
                if message["type"] != "http.request":
                    return False
                left -= len(message["body"])
        except Refused:
            pass
        return self._whole

    async def __call__(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Return the next message."""
        if self._whole:
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
        self._whole = not message.get("more_body", False)
        return message
