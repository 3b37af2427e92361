"""Delete an API key.  Its record is removed; its events stay."""

from service.domain import apikeys, audit
from service.domain.audit import events
from service.flows.apikeys.visibility import lock_key
from service.flows.shared.ending import close_keys
from service.flows.shared.permissions import Permission, require
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId
from service.runtime import Runtime


async def delete_key(rt: Runtime, call: Call, key_id: ApiKeyId) -> None:
    """Delete a key, and revoke it first if it is not revoked yet.

    Refused: UNAUTHENTICATED; FORBIDDEN; NOT_FOUND, also for a key of another organization.
    """
    administrator = require(call, Permission.WRITE_API_KEYS)
    async with rt.pg.decision() as tx:
        key = await lock_key(tx, administrator, key_id)
        await apikeys.delete(tx, key_id)
        deleted = events.ApiKeyDeleted(
            tenant_id=key.tenant_id, user_id=key.owner_id, key_id=key_id, prefix=key.prefix
        )
        await audit.record(tx, call, deleted)
        if key.ended_at is None:
            await close_keys(tx, call.at, [key_id], key.tenant_id, "api key deleted")
