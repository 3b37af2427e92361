"""A body is whole when as much is here as was announced, and is not waited for without end."""

import asyncio
from collections.abc import Callable

import pytest
from litestar.types import HTTPReceiveMessage

from service.http import body
from service.http.body import Body, Patience
from service.kernel.clock import Clock
from service.kernel.refusal import Reason, Refused


def coming(*parts: bytes) -> Callable[[], object]:
    """Receive parts, each of which says that there may be more, then what ends them."""
    messages: list[HTTPReceiveMessage] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive() -> HTTPReceiveMessage:
        return next(left)

    return receive


@pytest.mark.parametrize(
    ("parts", "announced", "asked"),
    [
        ((b"abc",), 3, 1),
        ((b"ab", b"c"), 3, 2),
        ((b"abc",), None, 2),
        ((b"abc",), 4, 2),
        ((b"abcd",), 3, 2),
        ((), 0, 1),
    ],
)
async def test_nobody_asks_again_once_all_that_was_announced_is_here(
    parts: tuple[bytes, ...], announced: int | None, asked: int
) -> None:
    receive = Body(coming(*parts), announced, Patience(Clock()))  # type: ignore[arg-type]
    read, times = b"", 0
    while True:
        message = await receive()
        times += 1
        assert message["type"] == "http.request"
        read += message["body"]
        if not message["more_body"]:
            break
    assert (read, times) == (b"".join(parts), asked)


async def never() -> HTTPReceiveMessage:
    await asyncio.Event().wait()
    raise AssertionError


async def test_who_sends_nothing_is_refused_and_the_task_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body, "_SECONDS", 0.0)
    monkeypatch.setattr(body, "_LOOK_SECONDS", 0.01)
    patience = Patience(Clock())
    for _ in range(2):  # the second time the look starts anew
        with pytest.raises(Refused) as slow:
            await Body(never, 3, patience)()
        assert slow.value.reason is Reason.TOO_SLOW
        await asyncio.sleep(0.05)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    patience = Patience(Clock())

    async def read() -> None:
        await Body(never, 3, patience)()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not patience._waiting
