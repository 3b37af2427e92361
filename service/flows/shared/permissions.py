"""Who may do what: the permissions of each role, and the scopes of services."""

from enum import StrEnum

from service.kernel.call import PLATFORM_ADMIN, ApiKey, Call, Machine, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


class Permission(StrEnum):
    """What a role may administer."""

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
    READ_SIGNING_KEYS = "signing_keys.read"
    CHANGE_SIGNING_KEYS = "signing_keys.change"
    READ_SECRETS = "secrets.read"
    KEEP_SECRETS = "secrets.keep"
    READ_API_KEYS = "api_keys.read"
    READ_ALL_API_KEYS = "api_keys.read_all"
    WRITE_API_KEYS = "api_keys.write"
    WRITE_ALL_API_KEYS = "api_keys.write_all"


class Scope(StrEnum):
    """What a service's token may do, whatever its organization."""

    READ_REVOCATIONS = "revocations:read"
    OPEN_SECRETS = "secrets:sealed"
    VERIFY_API_KEYS = "api-keys:verify"


ROLES: dict[Permission, frozenset[str]] = {
    Permission.READ_SESSIONS: frozenset({"owner", "admin", "auditor"}),
    Permission.END_SESSIONS: frozenset({"owner", "admin"}),
    Permission.END_ORGANIZATION_SESSIONS: frozenset({"owner"}),
    Permission.READ_ORGANIZATION: frozenset({"owner", "admin", "member", "auditor"}),
    Permission.KEEP_ORGANIZATIONS: frozenset(),
    Permission.READ_PEOPLE: frozenset({"owner", "admin", "auditor"}),
    Permission.KEEP_PEOPLE: frozenset({"owner", "admin"}),
    Permission.DISABLE_ACCOUNTS: frozenset(),
    Permission.EXPORT_PEOPLE: frozenset({"owner", "admin"}),
    Permission.ERASE_PEOPLE: frozenset(),
    Permission.READ_AUDIT: frozenset({"owner", "admin", "auditor"}),
    Permission.EXPORT_AUDIT: frozenset({"owner", "admin", "auditor"}),
    Permission.READ_LOGO: frozenset({"owner", "admin", "member", "auditor"}),
    Permission.KEEP_LOGO: frozenset({"owner", "admin"}),
    Permission.READ_CLIENTS: frozenset({"owner", "admin", "auditor"}),
    Permission.KEEP_CLIENTS: frozenset({"owner", "admin"}),
    Permission.REVOKE: frozenset({"owner", "admin"}),
    Permission.READ_SIGNING_KEYS: frozenset(),
    Permission.CHANGE_SIGNING_KEYS: frozenset(),
    Permission.READ_SECRETS: frozenset({"owner", "admin", "auditor"}),
    Permission.KEEP_SECRETS: frozenset({"owner", "admin"}),
    Permission.READ_API_KEYS: frozenset({"owner", "admin", "member", "auditor"}),
    Permission.READ_ALL_API_KEYS: frozenset({"owner", "admin", "auditor"}),
    Permission.WRITE_API_KEYS: frozenset({"owner", "admin", "member"}),
    Permission.WRITE_ALL_API_KEYS: frozenset({"owner", "admin"}),
}
"""The roles with each permission, in a person's own organization.  A platform administrator has
every permission in every organization."""


OWNER_ONLY = frozenset({"owner"})
"""Roles that only owners may grant and remove."""


def require(call: Call, permission: Permission) -> Person:
    """Return the calling person if their role allows this in their own organization.

    Refused: UNAUTHENTICATED without credentials; FORBIDDEN for any other caller.
    """
    person = call.actor
    if not isinstance(person, Person):
        machine = isinstance(person, (Machine, ApiKey))
        reason = Reason.FORBIDDEN if machine else Reason.UNAUTHENTICATED
        raise Refused(reason, private=f"{permission}: not a person")
    if may(person, permission):
        return person
    raise Refused(Reason.FORBIDDEN, "your role does not allow this", private=permission.value)


def may(person: Person, permission: Permission) -> bool:
    """Whether a person's role allows this in their own organization."""
    return is_platform_admin(person) or bool(ROLES[permission] & set(person.roles))


def is_platform_admin(person: Person) -> bool:
    """Whether the person may act in other organizations than their own."""
    return PLATFORM_ADMIN in person.roles


def reaches(person: Person, tenant_id: TenantId) -> bool:
    """Whether this person may know that an organization's objects exist."""
    return person.tenant_id == tenant_id or is_platform_admin(person)


def reach(person: Person) -> TenantId | None:
    """Return the only organization that is within this person's reach; None: every one is."""
    return None if is_platform_admin(person) else person.tenant_id


def require_scope(call: Call, scope: Scope) -> Machine | ApiKey:
    """Return the calling machine or API key if it has this scope.

    Refused: UNAUTHENTICATED without credentials; INSUFFICIENT_SCOPE for any other caller.
    """
    caller = call.actor
    if isinstance(caller, (Machine, ApiKey)) and scope in caller.scopes:
        return caller
    if isinstance(caller, (Person, Machine, ApiKey)):
        raise Refused(Reason.INSUFFICIENT_SCOPE, f"the scope {scope} is needed")
    raise Refused(Reason.UNAUTHENTICATED, private=f"{scope}: nobody")
