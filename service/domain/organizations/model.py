"""Organizations."""

from datetime import datetime

from msgspec import Struct

from service.kernel.ids import TenantId


class Organization(Struct, frozen=True, kw_only=True):
    """A tenant.  `policy` overrides the deployment's lifetimes (a JSON object)."""

    tenant_id: TenantId
    slug: str
    name: str
    policy: str | None
    created_at: datetime
    disabled_at: datetime | None
