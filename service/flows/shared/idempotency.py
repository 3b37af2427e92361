"""A request that comes again under its `Idempotency-Key` makes nothing a second time.

What is kept is the id of what it made, in the transaction that made it: a crash leaves nothing half
known, and no answer is stored, with a secret or without.  Who asks again is told of the thing as it
is now; where it is gone, that it is not found.  What was refused made nothing and may come again.
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
    """Return what this request made before; None: it is new, or nobody said it might come again.

    The first question of a decision that creates; until that ends, whoever asks the same is told to
    wait.  Refused: CONFLICT for those; KEY_REUSED for another request under the same key.
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
    """Keep the id of what a request made, for a day; in the decision that makes it."""
    slot = _slot(rt, call)
    if slot is not None:
        await idempotency.keep(tx, slot, str(made), call.at + _KEPT)


def _slot(rt: Runtime, call: Call) -> Slot | None:
    asked, actor = call.repeatable, call.actor
    if asked is None or not isinstance(actor, (Person, Machine, ApiKey)):
        return None
    key = rt.keyring.derived(Usage.IDEMPOTENCY)
    return idempotency.slot_of(key, actor.tenant_id, actor.actor_id, asked.key, asked.digest)
