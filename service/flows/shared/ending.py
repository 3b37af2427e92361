"""End sessions and API keys, and revoke all tokens that were issued for them."""

from collections.abc import Sequence
from datetime import datetime

from service.domain import families, revocations
from service.domain.families import Status
from service.domain.revocations import Kind
from service.domain.sessions import Ended
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId, TenantId
from service.kernel.postgres import Decision
from service.policy import seconds

LONGEST_TOKEN = 3600
"""The longest lifetime of an access token that any policy allows, in seconds."""


async def close_sessions(
    call: Call,
    tx: Decision,
    ended: Sequence[Ended],
    reason: str,
    status: Status = Status.ENDED,
) -> None:
    """End the families of ended sessions and revoke their `sid`.

    Call it last in a transaction: it locks the counter of the revocations.
    """
    if not ended:
        return
    await families.end_by_session(tx, [one.session_id for one in ended], status)
    by_tenant: dict[object, list[Ended]] = {}
    for one in ended:
        by_tenant.setdefault(one.tenant_id, []).append(one)
    for group in by_tenant.values():
        await revocations.revoke(
            tx,
            Kind.SID,
            [str(one.session_id) for one in group],
            tenant_id=group[0].tenant_id,
            reason=reason,
            at=call.at,
            expires_at=call.at + seconds(LONGEST_TOKEN + 60),
        )


async def close_keys(
    tx: Decision, at: datetime, key_ids: Sequence[ApiKeyId], tenant_id: TenantId, reason: str
) -> None:
    """Put API keys of one organization on the revocation feed.

    That also revokes tokens that they were exchanged for, and ends all cached results of checks, in
    workers and verifiers.  Call it last in a transaction: it locks the counter of the revocations.
    """
    await revocations.revoke(
        tx,
        Kind.AKID,
        [str(key_id) for key_id in key_ids],
        tenant_id=tenant_id,
        reason=reason,
        at=at,
        expires_at=at + seconds(LONGEST_TOKEN + 60),
    )
