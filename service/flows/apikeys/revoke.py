"""Revoke an API key.  It is refused everywhere within a second; its record stays."""

from service.domain import apikeys, audit
from service.domain.apikeys import ApiKey
from service.domain.audit import events
from service.flows.apikeys.visibility import lock_key
from service.flows.shared.ending import close_keys
from service.flows.shared.permissions import Permission, require
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId
from service.runtime import Runtime


async def revoke_key(rt: Runtime, call: Call, key_id: ApiKeyId) -> ApiKey:
    """Revoke a key and return it.  A key that is revoked already stays as it is.

    Refused: UNAUTHENTICATED; FORBIDDEN; NOT_FOUND, also for a key of another organization.
    """
    administrator = require(call, Permission.WRITE_API_KEYS)
    async with rt.pg.decision() as tx:
        key = await lock_key(tx, administrator, key_id)
        if key.revoked_at is None:
            await apikeys.revoke(tx, key_id, call.at)
            revoked = events.ApiKeyRevoked(
                tenant_id=key.tenant_id, user_id=key.owner_id, key_id=key_id, prefix=key.prefix
            )
            await audit.record(tx, call, revoked)
            key = await lock_key(tx, administrator, key_id)
            await close_keys(tx, call.at, [key_id], key.tenant_id, "api key revoked")
    return key
