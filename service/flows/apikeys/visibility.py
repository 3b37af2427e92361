"""Which keys exist for a person: the organization's, or only their own."""

from service.domain import apikeys
from service.domain.apikeys import ApiKey
from service.flows.shared.permissions import Permission, may, reach, reaches
from service.kernel.call import Person
from service.kernel.ids import ApiKeyId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx


async def lock_key(tx: Tx, person: Person, key_id: ApiKeyId) -> ApiKey:
    """Return a key this person may change, held.  Refused(NOT_FOUND) for any other alike.

    Nothing else is held, or written to: it takes the same time.
    """
    owner_id = None if may(person, Permission.WRITE_ALL_API_KEYS) else person.user_id
    found = await apikeys.lock(tx, key_id, reach(person), owner_id)
    return _reached(found, person, Permission.WRITE_ALL_API_KEYS)


async def find_key(tx: Tx, person: Person, key_id: ApiKeyId) -> ApiKey:
    """Return a key this person may see.  Refused(NOT_FOUND) for any other alike."""
    return _reached(await apikeys.find(tx, key_id), person, Permission.READ_ALL_API_KEYS)


def _reached(key: ApiKey | None, person: Person, everyones: Permission) -> ApiKey:
    if (
        key is None
        or not reaches(person, key.tenant_id)
        or not (may(person, everyones) or key.owner_id == person.user_id)
    ):
        raise Refused(Reason.NOT_FOUND, "no such key")
    return key
