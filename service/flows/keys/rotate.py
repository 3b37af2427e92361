"""Publish the next signing key.  It signs when every verifier has had time to load it."""

import asyncio

from service.domain import keyring
from service.domain.keyring import Described, Fresh
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.permissions import Permission, require
from service.flows.shared.publish_key import publish_key
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


async def rotate_keys(rt: Runtime, call: Call) -> Described:
    """Publish the next key.  For platform administrators and the operator.

    Refused(CONFLICT) while a published key does not sign yet.
    """
    if not isinstance(call.actor, Operator):
        require(call, Permission.CHANGE_SIGNING_KEYS)
    fresh = await asyncio.to_thread(Fresh.generate, rt.policy.tokens.algorithm)
    async with rt.pg.decision() as tx:
        kid = await find_made(rt, tx, call)
        if kid is not None:
            return await _find(tx, kid)
        await keyring.lock(tx)
        pending = await keyring.find_pending(tx, call.at)
        if pending is not None:
            raise Refused(
                Reason.CONFLICT,
                f"{pending.kid} is published already and signs from"
                f" {pending.activates_at:%Y-%m-%dT%H:%M:%SZ} on",
            )
        made = await publish_key(rt, call, tx, fresh, scheduled=False)
        await keep_made(rt, tx, call, made.kid)
    await rt.keyring.refresh(rt.pg)
    return made


async def _find(tx: Tx, kid: str) -> Described:
    found = next((key for key in await keyring.list_all(tx) if key.kid == kid), None)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such key")
    return found
