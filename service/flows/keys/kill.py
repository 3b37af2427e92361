"""Kill a signing key, in an emergency.  It takes effect everywhere within a second."""

import asyncio

from service.domain import audit, keyring, revocations
from service.domain.audit import events
from service.domain.keyring import Fresh, Killed
from service.domain.revocations import Kind
from service.flows.shared.ending import LASTS
from service.flows.shared.permissions import Permission, require
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.policy import CATCHING_UP, seconds
from service.runtime import Runtime, key_schedule

KILLED_FOR = LASTS + seconds(CATCHING_UP)
"""How long the revocation is kept: a worker that was cut off at that moment signs a little longer
than the others."""


async def kill_key(rt: Runtime, call: Call, kid: str) -> Killed:
    """Revoke a signing key at once, and so every token that it signed.

    If no other key of its algorithm signs, a new key of that algorithm signs from this moment.  It
    is stored in the transaction that revokes the old one, so a worker that learns of the revocation
    can read the new key.  Keys of other algorithms are not touched.  People keep their sessions:
    their next refresh gets a token signed by the new key.

    Refused(NOT_FOUND) for a key that does not exist or is removed already.
    """
    if not isinstance(call.actor, Operator):
        require(call, Permission.CHANGE_SIGNING_KEYS)
    async with rt.pg.reading() as tx:
        found = await keyring.find(tx, kid)
    if found is None:
        raise _gone()
    fresh = await asyncio.to_thread(Fresh.generate, found.algorithm)
    async with rt.pg.decision() as tx:
        await keyring.lock(tx)
        killed = await keyring.kill(tx, rt.seal, kid, fresh, call.at, key_schedule(rt.policy))
        if killed is None:
            raise _gone()
        successor = killed.successor.kid if killed.successor else None
        await audit.record(
            tx, call, events.SigningKeyKilled(kid=kid, state=killed.state, successor=successor)
        )
        await revocations.revoke(
            tx,
            Kind.KID,
            [kid],
            tenant_id=None,
            reason="signing key killed",
            at=call.at,
            expires_at=call.at + KILLED_FOR,
        )
    await rt.keyring.refresh(rt.pg)
    return killed


def _gone() -> Refused:
    return Refused(Reason.NOT_FOUND, "no such key, or it is removed already")
