"""Who may do what: the one table of roles by act."""

from enum import StrEnum

from service.flows.access.granting import PLATFORM_ADMIN
from service.kernel.call import Call, Person, Service
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


class Act(StrEnum):
    """What is administered."""

    READ_SESSIONS = "sessions.read"
    END_SESSIONS = "sessions.end"
    END_ORGANIZATION_SESSIONS = "sessions.end_organization"
    REVOKE = "revocations.write"
    READ_REVOCATIONS = "revocations:read"


ROLES: dict[Act, frozenset[str]] = {
    Act.READ_SESSIONS: frozenset({"owner", "admin", "auditor"}),
    Act.END_SESSIONS: frozenset({"owner", "admin"}),
    Act.END_ORGANIZATION_SESSIONS: frozenset({"owner"}),
    Act.REVOKE: frozenset({"owner", "admin"}),
    Act.READ_REVOCATIONS: frozenset(),
}
"""In one's own organization.  A platform administrator may do everything, everywhere."""


def require(call: Call, act: Act) -> Person:
    """Return the person who may do this in their own organization.

    Refused: UNAUTHENTICATED for nobody; FORBIDDEN for others.
    """
    person = call.actor
    if not isinstance(person, Person):
        reason = Reason.FORBIDDEN if isinstance(person, Service) else Reason.UNAUTHENTICATED
        raise Refused(reason, private=f"{act}: not a person")
    if is_platform_admin(person) or ROLES[act] & set(person.roles):
        return person
    raise Refused(Reason.FORBIDDEN, "your role does not allow this", private=act.value)


def is_platform_admin(person: Person) -> bool:
    """Tell whether they may cross from one organization into another."""
    return PLATFORM_ADMIN in person.roles


def reaches(person: Person, tenant_id: TenantId) -> bool:
    """Tell whether an object of an organization exists for this person at all."""
    return person.tenant_id == tenant_id or is_platform_admin(person)


def require_scope(call: Call, scope: str) -> Service:
    """Return the service whose token reaches this far.

    Refused: UNAUTHENTICATED for nobody; INSUFFICIENT_SCOPE for every other caller.
    """
    caller = call.actor
    if isinstance(caller, Service) and scope in caller.scopes:
        return caller
    if isinstance(caller, (Person, Service)):
        raise Refused(Reason.INSUFFICIENT_SCOPE, f"the scope {scope} is needed")
    raise Refused(Reason.UNAUTHENTICATED, private=f"{scope}: nobody")
