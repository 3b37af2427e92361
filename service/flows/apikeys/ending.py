"""The tail that every end of a key shares: its `akid` is revoked, and with it what it begot."""

from collections.abc import Sequence
from datetime import datetime

from service.domain import revocations
from service.domain.revocations import Kind, Revocation
from service.flows.access.ending import LONGEST_TOKEN
from service.kernel.ids import ApiKeyId, TenantId
from service.kernel.sql import Tx
from service.policy import seconds


async def close_keys(
    tx: Tx, at: datetime, key_ids: Sequence[ApiKeyId], tenant_id: TenantId, reason: str
) -> list[Revocation]:
    """Revoke keys of one organization on the feed; announce it after the commit.

    Kills the tokens they were exchanged for, and every verdict held in a worker's or a verifier's
    memory.  The last thing a transaction does: it takes the revocations' counter.
    """
    return await revocations.revoke(
        tx,
        Kind.AKID,
        [str(key_id) for key_id in key_ids],
        tenant_id=tenant_id,
        reason=reason,
        at=at,
        expires_at=at + seconds(LONGEST_TOKEN + 60),
    )
