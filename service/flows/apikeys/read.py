"""Read API keys.  Their secrets are not stored, so they cannot be read."""

from service.domain import apikeys
from service.domain.apikeys import ApiKey
from service.flows.apikeys.visibility import find_key, only_own
from service.flows.shared.permissions import Permission, require
from service.flows.shared.reach import home, record_look
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId
from service.runtime import Runtime


async def list_keys(rt: Runtime, call: Call, before: ApiKeyId | None, most: int) -> list[ApiKey]:
    """Return a page of the organization's keys, the newest first; for a member, their own keys.

    Refused: UNAUTHENTICATED; FORBIDDEN.
    """
    administrator = require(call, Permission.READ_API_KEYS)
    owner_id = only_own(administrator, Permission.READ_ALL_API_KEYS)
    async with rt.pg.reading() as tx:
        return await apikeys.list_page(tx, home(administrator), owner_id, before, most)


async def show_key(rt: Runtime, call: Call, key_id: ApiKeyId) -> ApiKey:
    """Return a key.  Refused(NOT_FOUND), also for a key of another organization."""
    administrator = require(call, Permission.READ_API_KEYS)
    async with rt.pg.decision() as tx:
        key = await find_key(tx, administrator, key_id)
        await record_look(tx, call, key.tenant_id, Permission.READ_API_KEYS)
    return key
