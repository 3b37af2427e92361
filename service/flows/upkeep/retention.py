"""Retention: whole months of the audit trail go, when policy says so.  No event is ever DELETEd."""

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
    """Drop the months that policy keeps no longer; return how many.

    Each chain first gets a signed checkpoint of where it begins from now on.  Refused(CONFLICT)
    while events of those months are not sealed, or the trail is verified.
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
    """Return for each chain the last place that goes: verification begins behind it."""
    found = []
    for end in await seals.list_chains(tx):
        last = await seals.find_beginning(tx, end.chain_id, before) or end
        found.append(Chain(end.chain_id, last.position, last.hash))
    return found


def _cut(at: datetime, months: int) -> datetime:
    """Return the beginning of the oldest month that is kept beside the running one."""
    past = at.year * _MONTHS_OF_A_YEAR + at.month - 1 - months
    return datetime(past // _MONTHS_OF_A_YEAR, past % _MONTHS_OF_A_YEAR + 1, 1, tzinfo=UTC)
