"""Describe secrets.  Nothing here decrypts one."""

from uuid import UUID

from service.domain import vault
from service.domain.vault import Secret, Version
from service.flows.shared.permissions import Permission
from service.flows.shared.reach import record_look
from service.flows.vault.owner import check_name, enter, not_found, reach
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime


async def list_secrets(
    rt: Runtime, call: Call, given: TenantId | None, after: UUID | None, most: int
) -> list[Secret]:
    """Return a page of the secrets of one vault."""
    administrator, tenant_id = reach(call, Permission.READ_SECRETS, given)
    async with rt.pg.decision() as tx:
        await enter(tx, administrator, tenant_id)
        await record_look(tx, call, tenant_id, Permission.READ_SECRETS)
        return await vault.list_page(tx, tenant_id, after, most)


async def read_secret(rt: Runtime, call: Call, given: TenantId | None, name: str) -> Secret:
    """Return one secret.  Refused(NOT_FOUND)."""
    administrator, tenant_id = reach(call, Permission.READ_SECRETS, given)
    check_name(name)
    async with rt.pg.decision() as tx:
        await enter(tx, administrator, tenant_id)
        await record_look(tx, call, tenant_id, Permission.READ_SECRETS)
        found = await vault.find(tx, tenant_id, name)
        if found is None:
            raise not_found()
        return found


async def list_versions(
    rt: Runtime, call: Call, given: TenantId | None, name: str
) -> list[Version]:
    """Return the versions of a secret, the newest first.  Refused(NOT_FOUND)."""
    found = await read_secret(rt, call, given, name)
    async with rt.pg.reading() as tx:
        return await vault.list_versions(tx, found.secret_id)
