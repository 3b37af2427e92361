"""Organizations: the tenants.  Table auth_organizations."""

from service.domain.organizations.model import Organization
from service.domain.organizations.store import (
    change,
    find,
    find_by_slug,
    insert,
    list_page,
    lock,
    lock_out,
    set_disabled,
)

__all__ = [
    "Organization",
    "change",
    "find",
    "find_by_slug",
    "insert",
    "list_page",
    "lock",
    "lock_out",
    "set_disabled",
]
