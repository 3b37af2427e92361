"""Drop expired data."""

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
"""Rows per transaction, which takes some tens of milliseconds."""

_PRUNED = {
    "sessions": (sessions.prune, _SESSIONS_KEPT),
    "devices": (devices.prune, timedelta()),
    "invitations": (invitations.prune, timedelta()),
    "lockouts": (lockouts.prune, _LOCKOUTS_KEPT),
    "idempotency keys": (idempotency.prune, timedelta()),
    "revocations": (revocations.prune, timedelta()),
}


async def prune(rt: Runtime, call: Call) -> AsyncIterator[tuple[str, int]]:
    """Drop expired rows in batches; after each batch, yield the kind and number of rows.

    Each batch is a transaction, so that rows that were yielded stay dropped.
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
