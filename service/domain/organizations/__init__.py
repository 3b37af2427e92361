"""Organizations: the tenants.  Table auth_organizations."""

from service.domain.organizations.model import Organization
from service.domain.organizations.store import find_by_slug, insert

__all__ = ["Organization", "find_by_slug", "insert"]
