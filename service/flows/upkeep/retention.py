"""Retention: drop whole months of the audit trail by the policy.  Events are never DELETEd."""

from datetime import UTC, datetime

from service.domain import audit, seals
from service.domain.audit import events
from service.domain.keyring import Usage
from service.domain.seals import Chain
from service.flows.upkeep.sealing import seal
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

_MONTHS_OF_A_YEAR = 12


async def drop_old_months(rt: Runtime, call: Call) -> int:
    """Drop the months that are older than the policy keeps; return how many.

    Before that, a signed checkpoint records where each chain begins from now on.  Refused(CONFLICT)
    while events of those months have no seal, or the trail is being verified.
    """
    before = _cut(call.at, rt.policy.audit.retention_months)
    async with rt.pg.reading() as tx:
        if not await audit.list_months(tx, before):
            return 0
    await seal(rt)
    key, mac_key = rt.keyring.signing(call.at), rt.keyring.derived(Usage.CHECKPOINT)
    async with rt.pg.decision() as tx:
        if not await audit.change_months(tx):
            raise Refused(
                Reason.CONFLICT, "the audit trail is being verified: drop its old months afterwards"
            )
        progress = await seals.lock_progress(tx)
        if await audit.has_unsealed(tx, before, progress.recorded_xid):
            raise Refused(Reason.CONFLICT, "events of those months are not sealed yet")
        for chain in await _beginnings(tx, before):
            checkpoint = seals.sign(
                rt.settings.issuer, key, mac_key, chain, call.at, kind="retention", before=before
            )
            await seals.insert_checkpoint(tx, checkpoint)
        dropped = await audit.drop_months(tx, before)
        checkpoints = await seals.drop_checkpoints(tx, before)
        pruned = events.TrailPruned(months=dropped, before=before, checkpoints=checkpoints)
        await audit.record(tx, call, pruned)
    return dropped


async def _beginnings(tx: Tx, before: datetime) -> list[Chain]:
    """Return the last place of each chain that is dropped; verification begins after it."""
    found = []
    for end in await seals.list_chains(tx):
        last = await seals.find_beginning(tx, end.chain_id, before) or end
        found.append(Chain(end.chain_id, last.position, last.hash))
    return found


def _cut(at: datetime, months: int) -> datetime:
    """Return the start of the oldest month that is kept: `months` before the current month."""
    past = at.year * _MONTHS_OF_A_YEAR + at.month - 1 - months
    return datetime(past // _MONTHS_OF_A_YEAR, past % _MONTHS_OF_A_YEAR + 1, 1, tzinfo=UTC)
