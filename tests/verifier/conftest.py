"""A stand-in issuer and verifiers of its tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tesserra_verifier import Verifier

from tests.verifier.standin import AUDIENCE, ISSUER, StandIn

Open = Callable[..., Awaitable[Verifier]]


@pytest.fixture
def issuer() -> StandIn:
    return StandIn()


@pytest.fixture
async def opened(issuer: StandIn) -> AsyncIterator[Open]:
    """Open verifiers of the stand-in: `await opened(when_stale="accept")`."""
    async with AsyncExitStack() as stack:

        async def open_one(**given: Any) -> Verifier:
            http = await stack.enter_async_context(issuer.client())
            plain: dict[str, Any] = {"http": http, "max_staleness": 2, "patience": 5}
            verifier = Verifier(ISSUER, AUDIENCE, "orders", "a secret", **plain | given)
            return await stack.enter_async_context(verifier)

        yield open_one


@pytest.fixture
async def verifier(opened: Open) -> Verifier:
    return await opened()


async def eventually(is_so: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> float:
    """Return after how many seconds it was so; AssertionError when the time is up."""
    start = time.monotonic()
    while not await is_so():
        assert time.monotonic() - start < seconds, "it did not come true"
        await asyncio.sleep(0.005)
    return time.monotonic() - start
