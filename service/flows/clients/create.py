"""The operator creates a client."""

from service.flows.shared.find_organization import find_organization
from service.flows.shared.new_client import Created, NewClient, check_new, insert_client
from service.kernel.call import Call
from service.runtime import Runtime


async def create_client(
    rt: Runtime, call: Call, new: NewClient, organization: str | None = None
) -> Created:
    """Create a client in the organization with that slug, or (None) for the platform.

    Refused: INVALID_REQUEST; NOT_FOUND when there is no such organization.
    """
    check_new(rt, call, new, of_platform=organization is None)
    async with rt.pg.decision() as tx:
        owner = await find_organization(tx, organization)
        return await insert_client(rt, call, tx, new, owner.tenant_id if owner else None)
