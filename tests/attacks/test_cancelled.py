"""A42: questions that are cancelled at any moment leave no answer to another (CVE-2023-28859)."""

import asyncio
import contextlib
import random
from typing import Any

from service.kernel.redis import RedisLostError
from service.runtime import Runtime

ASKERS, ROUNDS = 24, 40


async def test_nobody_reads_the_answer_to_another_question(rt: Runtime) -> None:
    dice = random.Random(28859)
    right = lost = 0

    async def from_redis(number: int) -> None:
        nonlocal right, lost
        text = f"answer {number}".encode()

        async def echo(client: Any) -> Any:
            return await client.echo(text)

        try:
            assert await rt.redis.ask(echo) == text
            right += 1
        except RedisLostError:
            lost += 1  # the breaker opens when a cancellation broke a connection

    async def sometimes_cancelled(number: int) -> None:
        task = asyncio.create_task(from_redis(number))
        if dice.random() < 0.4:
            await asyncio.sleep(dice.random() * 0.003)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    for turn in range(ROUNDS):
        await asyncio.gather(*(sometimes_cancelled(turn * ASKERS + n) for n in range(ASKERS)))
    assert right > ASKERS * ROUNDS / 3, (right, lost)
