"""Take a person's addresses and agents from the audit trail.  The acts and the seals stay."""

from service.domain import audit, seals
from service.domain.audit import events
from service.domain.seals import PERSONAL_KEYS, PLATFORM
from service.kernel.call import Call
from service.kernel.ids import TenantId, UserId
from service.runtime import Runtime


async def erase_person(rt: Runtime, call: Call, user_id: UserId) -> int:
    """Erase what is personal in the events of a person; return in how many chains it was.

    Each of those chains gets an event that says whose: without it, the gap would be a fault.
    """
    keys = sorted(frozenset().union(*PERSONAL_KEYS.values()))
    async with rt.pg.decision() as tx:
        await seals.lock_progress(tx)  # nothing is sealed as it was while it changes
        concerned = await audit.erase(tx, user_id, keys)
        for chain_id in concerned:
            tenant_id = None if chain_id == PLATFORM else TenantId(chain_id)
            await audit.record(tx, call, events.TrailErased(tenant_id=tenant_id, user_id=user_id))
    return len(concerned)
