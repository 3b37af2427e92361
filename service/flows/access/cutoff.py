"""What was issued up to a commit dies with it: a cutoff is a time, and a commit takes its own."""

from collections.abc import Sequence

from service.domain import revocations
from service.domain.revocations import Kind, Revocation
from service.flows.access.ending import LONGEST_TOKEN
from service.kernel.ids import TenantId
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime

UNTIL_COMMITTED = seconds(1)
"""How far ahead a cutoff lies: a refresh, or a key's exchange, that reads the old state meanwhile
is not held up by the transaction that changes it."""


async def cut_off(
    rt: Runtime, tx: Tx, kind: Kind, value: str, tenant_id: TenantId | None, reason: str
) -> list[Revocation]:
    """Kill what was issued until this commits; `announce` it after.

    As of now and not of the call, which waited for its locks.
    """
    at = rt.clock.now() + UNTIL_COMMITTED
    return await revocations.revoke(
        tx,
        kind,
        [value],
        tenant_id=tenant_id,
        reason=reason,
        at=at,
        expires_at=at + seconds(LONGEST_TOKEN + 60),
    )


async def announce(rt: Runtime, entries: Sequence[Revocation]) -> None:
    """Spread what has committed, and cut off again where the commit came after the cutoff.

    A commit may wait for longer than anybody reckons: for the counter of the revocations, or for a
    disk.  Refused(UNAVAILABLE) when it cannot be cut off again: what was done is not acknowledged.
    """
    await rt.revocations.announce(entries)
    while late := [one for one in entries if one.cutoff and one.cutoff <= rt.clock.now()]:
        entries = []
        async with rt.pg.decision() as tx:
            for one in late:
                entries += await cut_off(rt, tx, one.kind, one.value, one.tenant_id, one.reason)
        await rt.revocations.announce(entries)
