"""Publish a signing key: shared by administrators, the operator and the schedule."""

from service.domain import audit, keyring
from service.domain.audit import events
from service.domain.keyring import Described, Fresh
from service.kernel.call import Call
from service.kernel.sql import Tx
from service.runtime import Runtime, key_schedule


async def publish_key(
    rt: Runtime, call: Call, tx: Tx, fresh: Fresh, *, scheduled: bool
) -> Described:
    """Publish a key and record it.  The caller has locked the key ring."""
    made = await keyring.publish(tx, rt.seal, fresh, call.at, key_schedule(rt.policy))
    published = events.SigningKeyPublished(
        kid=made.kid,
        algorithm=made.algorithm,
        activates_at=made.activates_at,
        scheduled=scheduled,
    )
    await audit.record(tx, call, published)
    return made
