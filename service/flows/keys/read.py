"""List the signing keys."""

from service.domain import keyring
from service.domain.keyring import Described
from service.flows.shared.permissions import Permission, require
from service.kernel.call import Call, Operator
from service.runtime import Runtime


async def list_keys(rt: Runtime, call: Call) -> list[Described]:
    """Return every key, the newest first.  For platform administrators and the operator."""
    if not isinstance(call.actor, Operator):
        require(call, Permission.READ_SIGNING_KEYS)
    async with rt.pg.reading() as tx:
        return await keyring.list_all(tx)
