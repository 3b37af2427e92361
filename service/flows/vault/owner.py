"""The shared start of acts on secrets: whose secret is meant, and what is said when it is not."""

from service.domain import vault
from service.flows.shared.permissions import Permission, reaches, require
from service.flows.shared.reach import THE_PLATFORM, lock_organization, own, require_platform
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused, wrong
from service.kernel.sql import Tx

SECRET_NAME = vault.NAME.pattern
"""What the name of a secret is, as a pattern."""

LARGEST = vault.LARGEST
"""Bytes of a value."""


def reach(call: Call, act: Permission, given: TenantId | None) -> tuple[Person, TenantId | None]:
    """Return who acts, and in whose vault: that which is named, or one's own; None: the platform's.

    Refused: FORBIDDEN for the platform's; NOT_FOUND out of reach.
    """
    person = require(call, act)
    given = own(call, given)
    if given == THE_PLATFORM:
        return require_platform(call, act), None
    if given is None:
        return person, person.tenant_id
    if not reaches(person, given):
        raise not_found()
    return person, given


async def enter(tx: Tx, person: Person, tenant_id: TenantId | None) -> None:
    """Check that an organization that is not one's own exists, and hold it."""
    if tenant_id is not None and tenant_id != person.tenant_id:
        await lock_organization(tx, tenant_id)


def check_name(name: str) -> None:
    """Refused(INVALID_REQUEST) for a name that no secret can have."""
    if not vault.NAME.fullmatch(name):
        told = "must be 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore, not `.` or `..`"
        raise wrong("name", told)


def not_found() -> Refused:
    """Say that there is no such secret, here or in anybody else's vault."""
    return Refused(Reason.NOT_FOUND, "no such secret")
