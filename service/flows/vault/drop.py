"""Drop a secret, or an old version of one."""

from service.domain import audit, vault
from service.domain.audit import events
from service.flows.shared.permissions import Permission
from service.flows.vault.owner import check_name, enter, not_found, reach
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def delete_secret(rt: Runtime, call: Call, given: TenantId | None, name: str) -> None:
    """Remove a secret with all its versions.  Refused(NOT_FOUND)."""
    administrator, tenant_id = reach(call, Permission.KEEP_SECRETS, given)
    check_name(name)
    async with rt.pg.decision() as tx:
        await enter(tx, administrator, tenant_id)
        held = await vault.lock(tx, tenant_id, name)
        if held is None:
            raise not_found()
        await vault.delete(tx, held.secret_id, tenant_id)
        await audit.record(tx, call, events.SecretDeleted(tenant_id=tenant_id, name=name))


async def drop_version(
    rt: Runtime, call: Call, given: TenantId | None, name: str, version: int
) -> None:
    """Remove an old version.  Refused: NOT_FOUND; CONFLICT for the newest one."""
    administrator, tenant_id = reach(call, Permission.KEEP_SECRETS, given)
    check_name(name)
    async with rt.pg.decision() as tx:
        await enter(tx, administrator, tenant_id)
        held = await vault.lock(tx, tenant_id, name)
        versions = await vault.list_versions(tx, held.secret_id) if held else []
        if held is None or version not in {one.version for one in versions}:
            raise not_found()
        if version == versions[0].version:
            raise Refused(Reason.CONFLICT, "this is the newest version: delete the secret instead")
        await vault.delete_version(tx, held.secret_id, version)
        dropped = events.SecretDeleted(tenant_id=tenant_id, name=name, version=version)
        await audit.record(tx, call, dropped)
