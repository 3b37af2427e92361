"""Look at keys: never at their secrets, which nobody has any more."""

from service.domain import apikeys
from service.domain.apikeys import ApiKey
from service.flows.apikeys.visibility import find_key
from service.flows.shared.permissions import Permission, may, require
from service.flows.shared.reach import record_look
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId
from service.runtime import Runtime


async def list_keys(rt: Runtime, call: Call, before: ApiKeyId | None, most: int) -> list[ApiKey]:
    """Return the organization's keys, the newest first; to a member their own.

    Refused: UNAUTHENTICATED; FORBIDDEN.
    """
    person = require(call, Permission.READ_API_KEYS)
    owner_id = None if may(person, Permission.READ_ALL_API_KEYS) else person.user_id
    async with rt.pg.reading() as tx:
        return await apikeys.list_page(tx, person.tenant_id, owner_id, before, most)


async def show_key(rt: Runtime, call: Call, key_id: ApiKeyId) -> ApiKey:
    """Return a key.  Refused(NOT_FOUND) for another organization's as for none."""
    person = require(call, Permission.READ_API_KEYS)
    async with rt.pg.decision() as tx:
        key = await find_key(tx, person, key_id)
        await record_look(tx, call, key.tenant_id, Permission.READ_API_KEYS)
    return key
