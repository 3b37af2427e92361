"""Which API keys a person can see: all of the organization, or only their own."""

from service.domain import apikeys
from service.domain.apikeys import ApiKey
from service.flows.shared.permissions import Permission, may, reach, reaches
from service.kernel.call import Person
from service.kernel.ids import ApiKeyId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx


async def lock_key(tx: Tx, person: Person, key_id: ApiKeyId) -> ApiKey:
    """Lock a key that this person may change, and return it.  Refused(NOT_FOUND) for any other.

    Other keys are not locked, so the time does not show whether one exists.
    """
    owner_id = None if may(person, Permission.WRITE_ALL_API_KEYS) else person.user_id
    found = await apikeys.lock(tx, key_id, reach(person), owner_id)
    return _reached(found, person, Permission.WRITE_ALL_API_KEYS)


async def find_key(tx: Tx, person: Person, key_id: ApiKeyId) -> ApiKey:
    """Return a key that this person may see.  Refused(NOT_FOUND) for any other."""
    return _reached(await apikeys.find(tx, key_id), person, Permission.READ_ALL_API_KEYS)


def _reached(key: ApiKey | None, person: Person, everyones: Permission) -> ApiKey:
    if (
        key is None
        or not reaches(person, key.tenant_id)
        or not (may(person, everyones) or key.owner_id == person.user_id)
    ):
        raise Refused(Reason.NOT_FOUND, "no such key")
    return key
