"""Publish the next signing key.  It signs when every verifier has had time to read of it."""

import asyncio

from service.domain import audit, keyring
from service.domain.audit import events
from service.domain.keyring import Described, Fresh
from service.flows.authority import Act, require
from service.flows.idempotency import find_made, keep_made
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime, key_times


async def rotate_keys(rt: Runtime, call: Call) -> Described:
    """Publish it; by a platform administrator or the operator.

    Refused: CONFLICT while one is published that does not sign yet.
    """
    if not isinstance(call.actor, Operator):
        require(call, Act.CHANGE_SIGNING_KEYS)
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
        made = await keyring.publish(tx, rt.seal, fresh, call.at, key_times(rt.policy))
        await audit.record(tx, call, _event(made, scheduled=False))
        await keep_made(rt, tx, call, made.kid)
    await rt.keyring.refresh(rt.pg)
    return made


async def rotate_when_due(rt: Runtime, call: Call) -> Described | None:
    """Publish the next key if policy's time for it has come.  Of all workers one does it."""
    times = key_times(rt.policy)
    if not times.successor_due(rt.keyring.described(), call.at):
        return None
    fresh = await asyncio.to_thread(Fresh.generate, rt.policy.tokens.algorithm)
    async with rt.pg.decision() as tx:
        await keyring.lock(tx)
        made = None
        if times.successor_due(await keyring.list_all(tx), call.at):
            made = await keyring.publish(tx, rt.seal, fresh, call.at, times)
            await audit.record(tx, call, _event(made, scheduled=True))
    await rt.keyring.refresh(rt.pg)
    return made


async def _find(tx: Tx, kid: str) -> Described:
    found = next((key for key in await keyring.list_all(tx) if key.kid == kid), None)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such key")
    return found


def _event(made: Described, *, scheduled: bool) -> events.SigningKeyPublished:
    return events.SigningKeyPublished(
        kid=made.kid,
        algorithm=made.algorithm,
        activates_at=made.activates_at,
        scheduled=scheduled,
    )
