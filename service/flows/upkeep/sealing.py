"""Seal events and sign checkpoints, in the background: no sign-in waits for it.

Events are sealed in the order of their transactions, and only below the snapshot's xmin.  All those
transactions have ended.  So no event that commits late is missed, or belongs before a sealed one.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from service.domain import seals
from service.domain.keyring import Usage
from service.domain.seals import Progress
from service.kernel import metrics
from service.kernel.sql import Tx
from service.runtime import Runtime

_BATCH = 250
"""Events per transaction, which takes some milliseconds of this worker's time."""

_FAR = 1_000_000
"""After this many transactions without an event, the stored progress moves anyway."""


async def seal(rt: Runtime) -> int:
    """Seal all events and sign the checkpoints that are due; return how many events were sealed.

    Every worker calls this, and one at a time does it.  When it is killed, each batch is sealed
    completely or not at all.
    """
    count = 0
    while sealed := await seal_batch(rt):
        count += sealed
        await asyncio.sleep(0)
    await sign_due(rt)
    return count


async def seal_batch(rt: Runtime) -> int:
    """Seal the next events in one transaction; return how many; 0 if another worker seals now."""
    if not await _has_work(rt):
        return 0
    async with rt.pg.decision() as tx:
        progress = await seals.try_lock_progress(tx)
        if progress is None:
            return 0
        events = await seals.list_unsealed(tx, progress, _BATCH)
        if events:
            chains = await seals.list_chains(tx, [event.chain_id for event in events])
            sealed, ends = seals.chain_up(events, {chain.chain_id: chain for chain in chains})
            await seals.insert_seals(tx, sealed, rt.clock.now())
            await seals.put_chains(tx, ends)
        if len(events) < _BATCH:
            await seals.move_progress(tx, progress.horizon, UUID(int=0))
        elif not progress.restored:
            await seals.move_progress(tx, events[-1].recorded_xid, events[-1].event_id)
    metrics.sealed.inc(len(events))
    return len(events)


async def sign_due(rt: Runtime) -> int:
    """Sign checkpoints for chains that have grown; return how many."""
    policy = rt.policy.audit
    at = rt.clock.now()
    before = at - timedelta(seconds=policy.checkpoint_seconds)
    async with rt.pg.reading() as tx:
        if not await seals.list_due(tx, before, policy.checkpoint_events):
            return 0
    async with rt.pg.decision() as tx:
        if await seals.try_lock_progress(tx) is None:
            return 0
        due = await seals.list_due(tx, before, policy.checkpoint_events)
        key, mac_key = rt.keyring.signing(at), rt.keyring.derived(Usage.CHECKPOINT)
        for end in due:
            await seals.insert_checkpoint(tx, seals.sign(rt.settings.issuer, key, mac_key, end, at))
    return len(due)


async def _has_work(rt: Runtime) -> bool:
    """Whether there is work, read without a lock, so that an idle deployment writes nothing."""
    async with rt.pg.reading() as tx:
        progress = await seals.find_progress(tx)
        if progress.restored or progress.horizon - progress.recorded_xid > _FAR:
            return True
        return bool(await _peek(tx, progress))


async def _peek(tx: Tx, progress: Progress) -> bool:
    return bool(await seals.list_unsealed(tx, progress, 1))
