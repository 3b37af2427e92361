"""The tail that every way out shares: families end with their sessions, `sid` is revoked."""

from collections.abc import Sequence

from service.domain import families, revocations
from service.domain.families import Status
from service.domain.revocations import Kind, Revocation
from service.domain.sessions import Ended
from service.kernel.call import Call
from service.kernel.sql import Tx
from service.policy import seconds

LONGEST_TOKEN = 3600
"""Seconds; what policy allows an access token at most, whatever an organization overrides."""


async def close_sessions(
    call: Call,
    tx: Tx,
    ended: Sequence[Ended],
    reason: str,
    status: Status = Status.ENDED,
) -> list[Revocation]:
    """End the families of ended sessions and revoke their `sid`; announce it after the commit.

    The last thing a transaction does: it takes the revocations' counter.
    """
    if not ended:
        return []
    await families.end_by_session(tx, [one.session_id for one in ended], status)
    by_tenant: dict[object, list[Ended]] = {}
    for one in ended:
        by_tenant.setdefault(one.tenant_id, []).append(one)
    entries: list[Revocation] = []
    for group in by_tenant.values():
        entries += await revocations.revoke(
            tx,
            Kind.SID,
            [str(one.session_id) for one in group],
            tenant_id=group[0].tenant_id,
            reason=reason,
            at=call.at,
            expires_at=call.at + seconds(LONGEST_TOKEN + 60),
        )
    return entries
