"""Secrets and recipients: what is known of a secret without decrypting it."""

import re
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from service.kernel.ids import TenantId

LARGEST = 16 * 1024
"""The largest size of a value, in bytes."""

NAME = re.compile(r"(?!\.{1,2}\Z)[a-z0-9._-]{1,64}")
"""`.` and `..` are refused: HTTP clients remove them from paths (RFC 3986 section 5.2.4)."""
PURPOSE = "secret"

Kind: TypeAlias = Literal[
    "opaque",
    "stripe_secret",
    "stripe_restricted",
    "stripe_publishable",
    "stripe_webhook",
    "stripe_unknown",
]
Mode: TypeAlias = Literal["live", "test"]

_STRIPE = re.compile(rb"\s*(?:(sk|rk|pk)_(?:org_)?(live|test)_|whsec_)")
_STRIPE_NAME = re.compile(r"(sk|rk|pk)[._-](live|test)|whsec|.*stripe")
_STRIPE_KINDS: dict[bytes, Kind] = {
    b"sk": "stripe_secret",
    b"rk": "stripe_restricted",
    b"pk": "stripe_publishable",
}
_UNRESTRICTED = (
    "an unrestricted Stripe key can do everything in the account: use a restricted key (rk_) with"
    " no more than the scopes Charges, Customers, Invoices and PaymentIntents"
)
_UNKNOWN = (
    "the name says Stripe, and the value begins like none of its keys (rk_, sk_, pk_, whsec_)"
)
_SHORTEST_SHOWN = 16
"""For a shorter value, showing four characters would reveal too much."""


class Looks(Struct, frozen=True):
    """What a value looks like.  `last_four` is the only part of it that is ever shown."""

    kind: Kind
    mode: Mode | None
    last_four: str


class Version(Struct, frozen=True, kw_only=True):
    """One version of a secret, the current one or an older one."""

    version: int
    fingerprint: str
    kind: Kind
    mode: Mode | None
    last_four: str
    created_at: datetime
    created_by: str
    opened_at: datetime | None
    opened_by: str | None

    @property
    def warning(self) -> str | None:
        """What an administrator should be warned of."""
        return warning(self.kind)


class Secret(Struct, frozen=True, kw_only=True):
    """A secret and its newest version.  `tenant_id` is None for one of the platform."""

    secret_id: UUID
    tenant_id: TenantId | None
    name: str
    version: int
    fingerprint: str
    kind: Kind
    mode: Mode | None
    last_four: str
    created_at: datetime
    created_by: str
    opened_at: datetime | None
    opened_by: str | None
    recipients: tuple[str, ...]

    @property
    def warning(self) -> str | None:
        """What an administrator should be warned of."""
        return warning(self.kind)


class Recipient(Struct, frozen=True, kw_only=True):
    """A service that may get secrets: an OAuth client with an encryption key of its own."""

    recipient_id: UUID
    name: str
    client_id: str
    tenant_id: TenantId | None
    created_at: datetime

    @property
    def purpose(self) -> str:
        """The purpose for which its key is derived.

        It contains the id, so that a new recipient with an old name gets another key.
        """
        return f"{self.name}/{self.recipient_id}"

    def may_have(self, tenant_id: TenantId | None) -> bool:
        """Whether it may get secrets of this organization, or of the platform (None)."""
        return self.tenant_id is None or self.tenant_id == tenant_id


class Handover(Struct, frozen=True):
    """The plaintext that a recipient decrypts: which secret it is, and its value."""

    recipient: str
    tenant_id: TenantId | None
    name: str
    version: int
    value: bytes


def place(tenant_id: TenantId | None, name: str, version: int) -> str:
    """Return the name of the place a ciphertext belongs to: scope, name and version."""
    return f"{tenant_id or 'platform'}/{name}/{version}"


def recognise(name: str, value: bytes) -> Looks:
    """Return the kind of a value, judged by its beginning and its name."""
    shown = value.decode(errors="replace")
    last_four = shown[-4:] if len(shown) >= _SHORTEST_SHOWN and shown[-4:].isprintable() else ""
    match = _STRIPE.match(value)
    if match is None:
        return Looks("stripe_unknown" if _STRIPE_NAME.match(name) else "opaque", None, last_four)
    if match[1] is None:
        return Looks("stripe_webhook", None, last_four)
    return Looks(_STRIPE_KINDS[match[1]], "live" if match[2] == b"live" else "test", last_four)


def warning(kind: Kind) -> str | None:
    """Return what an administrator should be warned of."""
    if kind == "stripe_secret":
        return _UNRESTRICTED
    return _UNKNOWN if kind == "stripe_unknown" else None
