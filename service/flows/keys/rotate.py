"""Publish the next signing key.  It signs when every verifier has had time to load it."""

import asyncio
from datetime import datetime

from service.domain import keyring
from service.domain.keyring import Described, Fresh
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.permissions import Permission, require
from service.flows.shared.publish_key import publish_key
from service.kernel.call import Call, Operator
from service.kernel.jose import Algorithm
from service.kernel.refusal import Reason, Refused, wrong
from service.kernel.sql import Tx
from service.runtime import Runtime, key_schedule


async def rotate_keys(rt: Runtime, call: Call, algorithm: Algorithm | None = None) -> Described:
    """Publish the next key of an algorithm.  For platform administrators and the operator.

    The default is the algorithm of access tokens.  When an algorithm has just come into use, the
    schedule may have published its first key already; then that key is returned.

    Refused: INVALID_REQUEST for an algorithm that is not in use; CONFLICT while the active key has
    a published successor that does not sign yet.
    """
    if not isinstance(call.actor, Operator):
        require(call, Permission.CHANGE_SIGNING_KEYS)
    schedule = key_schedule(rt.policy)
    algorithm = algorithm or schedule.access_tokens
    if algorithm not in schedule.in_use:
        raise wrong("algorithm", f"must be one in use by policy: {', '.join(schedule.in_use)}")
    fresh = await asyncio.to_thread(Fresh.generate, algorithm)
    async with rt.pg.decision() as tx:
        kid = await find_made(rt, tx, call)
        if kid is not None:
            return await _find(tx, kid)
        await keyring.lock(tx)
        made = await _find_next(tx, algorithm, call.at)
        if made is None:
            made = await publish_key(rt, call, tx, fresh, scheduled=False)
        await keep_made(rt, tx, call, made.kid)
    await rt.keyring.refresh(rt.pg)
    return made


async def _find_next(tx: Tx, algorithm: Algorithm, at: datetime) -> Described | None:
    keys = [key for key in await keyring.list_all(tx) if key.algorithm == algorithm]
    pending = next((key for key in keys if key.state(at) == "pending"), None)
    if pending is not None and any(key.state(at) == "active" for key in keys):
        raise Refused(
            Reason.CONFLICT,
            f"{pending.kid} is published already and signs from"
            f" {pending.activates_at:%Y-%m-%dT%H:%M:%SZ} on",
        )
    return pending


async def _find(tx: Tx, kid: str) -> Described:
    found = await keyring.find(tx, kid)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such key")
    return found
