"""Kill a signing key: an emergency, and a matter of a second."""

import asyncio
from datetime import timedelta

from service.domain import audit, keyring, revocations
from service.domain.audit import events
from service.domain.keyring import Fresh, Killed
from service.domain.revocations import Kind
from service.flows.shared.ending import LONGEST_TOKEN
from service.flows.shared.permissions import Permission, require
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime, key_times

_LASTS = timedelta(seconds=LONGEST_TOKEN + 900)
"""A worker cut off at that moment may sign a little longer than the others."""


async def kill_key(rt: Runtime, call: Call, kid: str) -> Killed:
    """Take a key out at once, and every token it signed with it.

    A fresh key signs from this moment, in the same transaction as the revocation of the old one, so
    that whoever hears of the one can read the other.  People keep their sessions: their next
    refresh is answered with a token of the fresh key.

    Refused(NOT_FOUND) for a key that does not exist or is removed already.
    """
    if not isinstance(call.actor, Operator):
        require(call, Permission.CHANGE_SIGNING_KEYS)
    fresh = await asyncio.to_thread(Fresh.generate, rt.policy.tokens.algorithm)
    async with rt.pg.decision() as tx:
        await keyring.lock(tx)
        killed = await keyring.kill(tx, rt.seal, kid, fresh, call.at, key_times(rt.policy))
        if killed is None:
            raise Refused(Reason.NOT_FOUND, "no such key, or it is removed already")
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
            expires_at=call.at + _LASTS,
        )
    await rt.keyring.refresh(rt.pg)
    return killed
