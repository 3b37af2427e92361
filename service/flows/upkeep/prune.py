"""Drop what has expired and nobody can ask for any more."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from service.domain import (
    devices,
    idempotency,
    invitations,
    keyring,
    lockouts,
    revocations,
    sessions,
)
from service.kernel.call import Call
from service.runtime import Runtime

_SESSIONS_KEPT = timedelta(days=30)
_KEYS_KEPT = timedelta(days=30)
_LOCKOUTS_KEPT = timedelta(days=2)

_BATCH = 1000
"""Rows of one transaction: some tens of milliseconds, however many there are to drop."""

_PRUNED = {
    "sessions": (sessions.prune, _SESSIONS_KEPT),
    "devices": (devices.prune, timedelta()),
    "invitations": (invitations.prune, timedelta()),
    "lockouts": (lockouts.prune, _LOCKOUTS_KEPT),
    "idempotency keys": (idempotency.prune, timedelta()),
    "revocations": (revocations.prune, timedelta()),
}


async def prune(rt: Runtime, call: Call) -> AsyncIterator[tuple[str, int]]:
    """Drop it in batches, and tell after each one of what kind and how many rows.

    A batch is a transaction: what is told stays dropped, whatever happens to the next.
    """
    for kind, (drop, kept) in _PRUNED.items():
        after, rows = datetime.min.replace(tzinfo=UTC), _BATCH
        while rows == _BATCH:
            async with rt.pg.autocommit() as tx:
                batch = await drop(tx, after, call.at - kept, _BATCH)
            rows, after = batch.rows, batch.upto or after
            yield kind, rows
    async with rt.pg.autocommit() as tx:
        yield "signing keys", await keyring.prune(tx, call.at - _KEYS_KEPT)
