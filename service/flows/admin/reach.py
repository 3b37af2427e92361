"""The shared start of administration: what an administrator reaches, and what they may not undo."""

from service.domain import audit, organizations, users
from service.domain.audit import events
from service.domain.organizations import Organization
from service.domain.users import Member
from service.flows.authority import Act, is_platform_admin, require
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.policy import seconds

UNTIL_COMMITTED = seconds(1)
"""How far ahead a cutoff lies: a refresh, or a key's exchange, that reads the old state meanwhile
is not held up by the transaction that changes it."""


def require_platform(call: Call, act: Act) -> Person:
    """Return the platform administrator.  Refused(FORBIDDEN) for administrators of one place."""
    person = require(call, act)
    if not is_platform_admin(person):
        raise Refused(Reason.FORBIDDEN, "only for platform administrators", private=act.value)
    return person


def target(person: Person, tenant_id: TenantId | None) -> TenantId:
    """Return the organization acted in: one's own, or as a platform administrator another.

    Refused(NOT_FOUND) when it is out of reach.
    """
    if tenant_id is None or tenant_id == person.tenant_id:
        return person.tenant_id
    if not is_platform_admin(person):
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return tenant_id


async def record_crossing(
    tx: Tx, call: Call, person: Person, tenant_id: TenantId, act: Act, user_id: UserId | None = None
) -> None:
    """Record that a platform administrator acts in another's organization, naming both.

    In the transaction of the act: when it cannot be written, the act does not happen.
    """
    if tenant_id != person.tenant_id:
        crossed = events.Crossed(
            tenant_id=tenant_id, user_id=user_id, crossing_from=person.tenant_id, act=act.value
        )
        await audit.record(tx, call, crossed)


async def lock_organization(tx: Tx, tenant_id: TenantId) -> Organization:
    """Hold an organization: who owns it does not change meanwhile.  Refused(NOT_FOUND)."""
    found = await organizations.lock(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def find_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> Member:
    """Return a member.  Refused(NOT_FOUND) for a stranger as for nobody."""
    found = await users.find_member(tx, tenant_id, user_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    return found


async def refuse_last_owner(tx: Tx, tenant_id: TenantId, member: Member) -> None:
    """Refuse to take the last owner who can act away; the caller holds the organization."""
    if member.owns() and await users.count_owners(tx, tenant_id) == 1:
        raise Refused(Reason.CONFLICT, "an organization keeps at least one owner")
