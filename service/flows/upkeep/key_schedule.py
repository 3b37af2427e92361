"""Publish the next signing keys when the policy says so."""

import asyncio

from service.domain import keyring
from service.domain.keyring import Described, Fresh
from service.flows.shared.publish_key import publish_key
from service.kernel.call import Call
from service.runtime import Runtime, key_schedule


async def rotate_when_due(rt: Runtime, call: Call) -> list[Described]:
    """Publish the next key of each algorithm that is due by the policy.

    An algorithm without a key is due at once.  Only one of all workers publishes.
    """
    schedule = key_schedule(rt.policy)
    due = schedule.due(rt.keyring.described(), call.at)
    if not due:
        return []
    fresh = [await asyncio.to_thread(Fresh.generate, algorithm) for algorithm in due]
    async with rt.pg.decision() as tx:
        await keyring.lock(tx)
        still_due = schedule.due(await keyring.list_all(tx), call.at)
        made = [
            await publish_key(rt, call, tx, one, scheduled=True)
            for one in fresh
            if one.algorithm in still_due
        ]
    await rt.keyring.refresh(rt.pg)
    return made
