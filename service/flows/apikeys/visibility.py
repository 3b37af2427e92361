"""Which API keys a person can see: all of the organization, or only their own."""

from service.domain import apikeys
from service.domain.apikeys import ApiKey
from service.flows.shared.permissions import Administrator, Permission, may, reach, reaches
from service.kernel.call import Person
from service.kernel.ids import ApiKeyId, UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx


async def lock_key(tx: Tx, administrator: Administrator, key_id: ApiKeyId) -> ApiKey:
    """Lock a key that this person may change, and return it.  Refused(NOT_FOUND) for any other.

    Other keys are not locked, so the time does not show whether one exists.
    """
    owner_id = only_own(administrator, Permission.WRITE_ALL_API_KEYS)
    found = await apikeys.lock(tx, key_id, reach(administrator), owner_id)
    return _reached(found, administrator, Permission.WRITE_ALL_API_KEYS)


async def find_key(tx: Tx, administrator: Administrator, key_id: ApiKeyId) -> ApiKey:
    """Return a key that the caller may see.  Refused(NOT_FOUND) for any other."""
    found = await apikeys.find(tx, key_id)
    return _reached(found, administrator, Permission.READ_ALL_API_KEYS)


def only_own(administrator: Administrator, everyones: Permission) -> UserId | None:
    """Return the only owner whose keys are within reach; None: every key is, as for a machine."""
    if isinstance(administrator, Person) and not may(administrator, everyones):
        return administrator.user_id
    return None


def owns(administrator: Administrator, key: ApiKey) -> bool:
    """Whether this is the person's own key."""
    return isinstance(administrator, Person) and key.owner_id == administrator.user_id


def _reached(key: ApiKey | None, administrator: Administrator, everyones: Permission) -> ApiKey:
    if (
        key is None
        or not reaches(administrator, key.tenant_id)
        or not (may(administrator, everyones) or owns(administrator, key))
    ):
        raise Refused(Reason.NOT_FOUND, "no such key")
    return key
