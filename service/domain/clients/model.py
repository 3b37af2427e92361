"""What a client is."""

import hmac
import secrets
from datetime import datetime

from msgspec import Struct

from service.kernel.ids import TenantId
from service.kernel.mac import hmac_sha256

_SECRET_BYTES = 32


class Client(Struct, frozen=True, kw_only=True):
    """A service.  `tenant_id` is None for one of the platform, which sees every organization."""

    client_id: str
    tenant_id: TenantId | None
    name: str
    scopes: tuple[str, ...]
    secret_mac: bytes | None
    jwks: str | None
    created_at: datetime
    disabled_at: datetime | None
    previous_mac: bytes | None = None
    previous_until: datetime | None = None

    def has_secret(self, key: bytes, secret: str, at: datetime) -> bool:
        """Tell in constant time whether this is its secret, or its last one during the overlap."""
        mac = secret_mac(key, secret)
        current = hmac.compare_digest(mac, self.secret_mac or bytes(32))
        previous = hmac.compare_digest(mac, self.previous_mac or bytes(32))
        return current or (
            previous and self.previous_until is not None and at < self.previous_until
        )


def new_secret() -> str:
    """Make a client secret: 256 random bits behind a prefix that scanners find."""
    return f"tscs_{secrets.token_urlsafe(_SECRET_BYTES)}"


def secret_mac(key: bytes, secret: str) -> bytes:
    """Return what is stored of a secret.  256 random bits need no slow hash."""
    return hmac_sha256(key, secret.encode())
