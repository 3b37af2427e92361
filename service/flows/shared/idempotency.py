"""A request that is repeated with its `Idempotency-Key` creates nothing a second time.

The id of what a request created is stored, in the same transaction.  So a crash leaves no
contradiction.  The answer itself, which may contain a secret, is not stored.  A repetition gets the
thing as it is now, or NOT_FOUND when it is gone.  A refused request created nothing and may be
repeated.
"""

from datetime import timedelta

from service.domain import idempotency
from service.domain.idempotency import Slot
from service.domain.keyring import Usage
from service.kernel.call import ApiKey, Call, Machine, Person
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

_KEPT = timedelta(hours=24)


async def find_made(rt: Runtime, tx: Tx, call: Call) -> str | None:
    """Return the id of what this request created before; None: it is new or has no key.

    Call it first in a decision that creates.  Until that decision ends, a repetition of the request
    is refused.  Refused: CONFLICT for such a repetition; KEY_REUSED for another request with the
    same key.
    """
    slot = _slot(rt, call)
    if slot is None:
        return None
    if not await idempotency.hold(tx, slot):
        raise Refused(Reason.CONFLICT, "the same request is under way", retry_after=1)
    found = await idempotency.find(tx, slot, call.at)
    if found is None:
        return None
    if not found.is_for(slot):
        raise Refused(Reason.KEY_REUSED, "another request had this Idempotency-Key")
    return found.made


async def keep_made(rt: Runtime, tx: Tx, call: Call, made: object) -> None:
    """Store the id of what a request created, for one day, in the decision that creates it."""
    slot = _slot(rt, call)
    if slot is not None:
        await idempotency.keep(tx, slot, str(made), call.at + _KEPT)


def _slot(rt: Runtime, call: Call) -> Slot | None:
    asked, actor = call.repeatable, call.actor
    if asked is None or not isinstance(actor, (Person, Machine, ApiKey)):
        return None
    key = rt.keyring.derived(Usage.IDEMPOTENCY)
    return idempotency.slot_of(key, actor.tenant_id, actor.actor_id, asked.key, asked.digest)
