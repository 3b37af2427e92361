"""Drop what has expired and nobody can ask for any more."""

from datetime import timedelta

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


async def prune(rt: Runtime, call: Call) -> dict[str, int]:
    """Drop it; return how many rows of each kind."""
    async with rt.pg.autocommit() as tx:
        return {
            "sessions": await sessions.prune(tx, call.at - _SESSIONS_KEPT),
            "devices": await devices.prune(tx, call.at),
            "invitations": await invitations.prune(tx, call.at),
            "signing keys": await keyring.prune(tx, call.at - _KEYS_KEPT),
            "lockouts": await lockouts.prune(tx, call.at - _LOCKOUTS_KEPT),
            "idempotency keys": await idempotency.prune(tx, call.at),
            "revocations": await revocations.prune(tx, call.at),
        }
