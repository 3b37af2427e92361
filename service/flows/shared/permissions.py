"""Who may do what: the permissions of each role, and the scopes of services.

A permission says what somebody may administer; a scope says what a token may do.  A management
scope is the permission of a machine.
"""

from enum import StrEnum
from typing import TypeAlias

from service.kernel.call import PLATFORM_ADMIN, ApiKey, Call, Machine, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused


class Permission(StrEnum):
    """What a role, or a machine by a management scope, may administer."""

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
    VERIFY_API_KEYS = "api-keys:verify"
    OPEN_SECRETS = "secrets:sealed"


KEY_SCOPES = (Scope.READ_REVOCATIONS, Scope.VERIFY_API_KEYS)
"""The scopes of services that an API key may hold.  Only a platform administrator grants them."""


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

OF_THE_PLATFORM = frozenset(one for one, roles in ROLES.items() if not roles)
"""Permissions that no role of an organization has: what they reach belongs to no organization."""

OF_EVERYONE = {
    Permission.READ_API_KEYS: Permission.READ_ALL_API_KEYS,
    Permission.WRITE_API_KEYS: Permission.WRITE_ALL_API_KEYS,
}
"""Permissions on a person's own things, and the matching ones on everyone's.  A machine owns
nothing, so it needs the latter."""

MANAGEMENT_SCOPES: dict[str, Permission] = {
    f"manage:{one.value}": one for one in Permission if one not in OF_EVERYONE
}
"""The management scopes of machines: one for each permission, with the same name."""

Administrator: TypeAlias = Person | Machine
"""A caller that administers: a person by their role, or a machine by its management scopes."""


def require(call: Call, permission: Permission) -> Administrator:
    """Return the caller if their role, or their management scope, allows this.

    Refused: UNAUTHENTICATED without credentials; FORBIDDEN for any other person, and for an API
    key, which administers nothing; INSUFFICIENT_SCOPE for any other machine.
    """
    actor = call.actor
    match actor:
        case Person():
            if may(actor, permission):
                return actor
            told = "your role does not allow this"
            raise Refused(Reason.FORBIDDEN, told, private=permission.value)
        case Machine():
            if may(actor, permission):
                return actor
            raise Refused(
                Reason.INSUFFICIENT_SCOPE, f"the scope {management_scope(permission)} is needed"
            )
        case ApiKey():
            raise Refused(Reason.FORBIDDEN, "an API key administers nothing")
        case _:
            raise Refused(Reason.UNAUTHENTICATED, private=f"{permission}: nobody")


def may(administrator: Administrator, permission: Permission) -> bool:
    """Whether the role or the scopes allow this, in the organizations within reach.

    A client of an organization never has a permission of the platform, whatever its scopes say.
    """
    if isinstance(administrator, Machine):
        within = administrator.tenant_id is None or permission not in OF_THE_PLATFORM
        return within and management_scope(permission) in administrator.scopes
    return is_platform_admin(administrator) or bool(ROLES[permission] & set(administrator.roles))


def management_scope(permission: Permission) -> str:
    """Return the scope by which a machine has a permission."""
    return f"manage:{OF_EVERYONE.get(permission, permission).value}"


def is_platform_admin(administrator: Administrator) -> bool:
    """Whether this is a person with every permission in every organization."""
    return isinstance(administrator, Person) and PLATFORM_ADMIN in administrator.roles


def is_of_platform(administrator: Administrator) -> bool:
    """Whether every organization is within reach: of platform administrators and clients."""
    if isinstance(administrator, Machine):
        return administrator.tenant_id is None
    return is_platform_admin(administrator)


def reaches(administrator: Administrator, tenant_id: TenantId) -> bool:
    """Whether the caller may know that an organization's objects exist."""
    return administrator.tenant_id == tenant_id or is_of_platform(administrator)


def reach(administrator: Administrator) -> TenantId | None:
    """Return the only organization that is within reach; None: every one is."""
    return None if is_of_platform(administrator) else administrator.tenant_id


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
