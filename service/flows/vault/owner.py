"""Checks that all acts on secrets share: which vault is meant, and whether it is within reach."""

from service.domain import vault
from service.flows.shared.permissions import Administrator, Permission, reaches, require
from service.flows.shared.reach import (
    THE_PLATFORM,
    home,
    lock_organization,
    own,
    require_platform,
)
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused, wrong
from service.kernel.sql import Tx

SECRET_NAME = vault.NAME.pattern
"""The pattern of a secret's name."""

LARGEST = vault.LARGEST
"""The largest size of a value, in bytes."""


def reach(
    call: Call, act: Permission, given: TenantId | None
) -> tuple[Administrator, TenantId | None]:
    """Return the caller and the organization of the vault: the given one, or their own.

    None is the platform's vault.  Refused: FORBIDDEN for the platform's; NOT_FOUND out of reach.
    """
    administrator = require(call, act)
    given = own(call, given)
    if given == THE_PLATFORM:
        return require_platform(call, act), None
    if given is None:
        return administrator, home(administrator)
    if not reaches(administrator, given):
        raise not_found()
    return administrator, given


async def enter(tx: Tx, administrator: Administrator, tenant_id: TenantId | None) -> None:
    """Check that an organization other than the caller's exists, and lock it."""
    if tenant_id is not None and tenant_id != administrator.tenant_id:
        await lock_organization(tx, tenant_id)


def check_name(name: str) -> None:
    """Refused(INVALID_REQUEST) for a name that no secret can have."""
    if not vault.NAME.fullmatch(name):
        told = "must be 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore, not `.` or `..`"
        raise wrong("name", told)


def not_found() -> Refused:
    """Make the refusal for an unknown secret; it is the same for another vault's."""
    return Refused(Reason.NOT_FOUND, "no such secret")
