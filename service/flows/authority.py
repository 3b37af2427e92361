"""Who may do what: the one table of roles by act."""

from enum import StrEnum

from service.kernel.call import PLATFORM_ADMIN, ApiKey, Call, Machine, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


class Act(StrEnum):
    """What is administered."""

    READ_SESSIONS = "sessions.read"
    END_SESSIONS = "sessions.end"
    END_ORGANIZATION_SESSIONS = "sessions.end_organization"
    READ_ORGANIZATION = "organization.read"
    KEEP_ORGANIZATIONS = "organizations.keep"
    READ_PEOPLE = "people.read"
    KEEP_PEOPLE = "people.keep"
    DISABLE_ACCOUNTS = "accounts.disable"
    EXPORT_PEOPLE = "people.export"
    ERASE_PEOPLE = "people.erase"
    READ_AUDIT = "audit.read"
    EXPORT_AUDIT = "audit.export"
    READ_LOGO = "logo.read"
    KEEP_LOGO = "logo.keep"
    READ_CLIENTS = "clients.read"
    KEEP_CLIENTS = "clients.keep"
    REVOKE = "revocations.write"
    READ_REVOCATIONS = "revocations:read"
    READ_SIGNING_KEYS = "signing_keys.read"
    CHANGE_SIGNING_KEYS = "signing_keys.change"
    READ_SECRETS = "secrets.read"
    KEEP_SECRETS = "secrets.keep"
    OPEN_SECRETS = "secrets:sealed"
    READ_API_KEYS = "api_keys.read"
    READ_ALL_API_KEYS = "api_keys.read_all"
    WRITE_API_KEYS = "api_keys.write"
    WRITE_ALL_API_KEYS = "api_keys.write_all"
    VERIFY_API_KEYS = "api-keys:verify"


ROLES: dict[Act, frozenset[str]] = {
    Act.READ_SESSIONS: frozenset({"owner", "admin", "auditor"}),
    Act.END_SESSIONS: frozenset({"owner", "admin"}),
    Act.END_ORGANIZATION_SESSIONS: frozenset({"owner"}),
    Act.READ_ORGANIZATION: frozenset({"owner", "admin", "member", "auditor"}),
    Act.KEEP_ORGANIZATIONS: frozenset(),
    Act.READ_PEOPLE: frozenset({"owner", "admin", "auditor"}),
    Act.KEEP_PEOPLE: frozenset({"owner", "admin"}),
    Act.DISABLE_ACCOUNTS: frozenset(),
    Act.EXPORT_PEOPLE: frozenset({"owner", "admin"}),
    Act.ERASE_PEOPLE: frozenset(),
    Act.READ_AUDIT: frozenset({"owner", "admin", "auditor"}),
    Act.EXPORT_AUDIT: frozenset({"owner", "admin", "auditor"}),
    Act.READ_LOGO: frozenset({"owner", "admin", "member", "auditor"}),
    Act.KEEP_LOGO: frozenset({"owner", "admin"}),
    Act.READ_CLIENTS: frozenset({"owner", "admin", "auditor"}),
    Act.KEEP_CLIENTS: frozenset({"owner", "admin"}),
    Act.REVOKE: frozenset({"owner", "admin"}),
    Act.READ_REVOCATIONS: frozenset(),
    Act.READ_SIGNING_KEYS: frozenset(),
    Act.CHANGE_SIGNING_KEYS: frozenset(),
    Act.READ_SECRETS: frozenset({"owner", "admin", "auditor"}),
    Act.KEEP_SECRETS: frozenset({"owner", "admin"}),
    Act.OPEN_SECRETS: frozenset(),
    Act.READ_API_KEYS: frozenset({"owner", "admin", "member", "auditor"}),
    Act.READ_ALL_API_KEYS: frozenset({"owner", "admin", "auditor"}),
    Act.WRITE_API_KEYS: frozenset({"owner", "admin", "member"}),
    Act.WRITE_ALL_API_KEYS: frozenset({"owner", "admin"}),
    Act.VERIFY_API_KEYS: frozenset(),
}
"""In one's own organization.  A platform administrator may do everything, everywhere; what no role
may do needs a scope."""


OWNER_ONLY = frozenset({"owner"})
"""Roles that only owners give and take."""


def require(call: Call, act: Act) -> Person:
    """Return the person who may do this in their own organization.

    Refused: UNAUTHENTICATED for nobody; FORBIDDEN for others.
    """
    person = call.actor
    if not isinstance(person, Person):
        machine = isinstance(person, (Machine, ApiKey))
        reason = Reason.FORBIDDEN if machine else Reason.UNAUTHENTICATED
        raise Refused(reason, private=f"{act}: not a person")
    if may(person, act):
        return person
    raise Refused(Reason.FORBIDDEN, "your role does not allow this", private=act.value)


def may(person: Person, act: Act) -> bool:
    """Tell whether a person's role allows this in their own organization."""
    return is_platform_admin(person) or bool(ROLES[act] & set(person.roles))


def is_platform_admin(person: Person) -> bool:
    """Tell whether they may cross from one organization into another."""
    return PLATFORM_ADMIN in person.roles


def reaches(person: Person, tenant_id: TenantId) -> bool:
    """Tell whether an object of an organization exists for this person at all."""
    return person.tenant_id == tenant_id or is_platform_admin(person)


def reach(person: Person) -> TenantId | None:
    """Return the only organization whose objects exist for this person; None: every one's do."""
    return None if is_platform_admin(person) else person.tenant_id


def require_scope(call: Call, scope: str) -> Machine | ApiKey:
    """Return the service, or the API key, whose scopes reach this far.

    Refused: UNAUTHENTICATED for nobody; INSUFFICIENT_SCOPE for every other caller.
    """
    caller = call.actor
    if isinstance(caller, (Machine, ApiKey)) and scope in caller.scopes:
        return caller
    if isinstance(caller, (Person, Machine, ApiKey)):
        raise Refused(Reason.INSUFFICIENT_SCOPE, f"the scope {scope} is needed")
    raise Refused(Reason.UNAUTHENTICATED, private=f"{scope}: nobody")
