"""People and their memberships.  Tables auth_users, auth_memberships."""

from service.domain.users.model import (
    ROLES,
    Account,
    Membership,
    Role,
    Scheme,
    canonical_email,
)
from service.domain.users.passwords import refuse_weak
from service.domain.users.profiles import Profile, Profiles
from service.domain.users.store import (
    change_password,
    find,
    find_by_email,
    insert,
    insert_membership,
    list_memberships,
    list_schemes,
    lock,
    replace_password_hash,
)

__all__ = [
    "ROLES",
    "Account",
    "Membership",
    "Profile",
    "Profiles",
    "Role",
    "Scheme",
    "canonical_email",
    "change_password",
    "find",
    "find_by_email",
    "insert",
    "insert_membership",
    "list_memberships",
    "list_schemes",
    "lock",
    "refuse_weak",
    "replace_password_hash",
]
