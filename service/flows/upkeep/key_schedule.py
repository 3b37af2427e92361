"""Publish the next signing key when the policy says so."""

import asyncio

from service.domain import keyring
from service.domain.keyring import Described, Fresh
from service.flows.shared.publish_key import publish_key
from service.kernel.call import Call
from service.runtime import Runtime, key_times


async def rotate_when_due(rt: Runtime, call: Call) -> Described | None:
    """Publish the next key if it is due by the policy.  Only one of all workers does it."""
    times = key_times(rt.policy)
    if not times.successor_due(rt.keyring.described(), call.at):
        return None
    fresh = await asyncio.to_thread(Fresh.generate, rt.policy.tokens.algorithm)
    async with rt.pg.decision() as tx:
        await keyring.lock(tx)
        made = None
        if times.successor_due(await keyring.list_all(tx), call.at):
            made = await publish_key(rt, call, tx, fresh, scheduled=True)
    await rt.keyring.refresh(rt.pg)
    return made
