"""API keys, and whether one is good."""

import hmac
import ipaddress
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct, structs

from service.domain.apikeys.text import PREFIX
from service.kernel.ids import ApiKeyId, TenantId, UserId
from service.kernel.mac import hmac_sha256

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Why(StrEnum):
    """Why a key is not good."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    DISABLED = "disabled"
    """Its organization or its owner is disabled, or the owner no longer holds any of its scopes."""
    ADDRESS = "address"
    SCOPE = "scope"


ENDED = frozenset({Why.REVOKED, Why.EXPIRED, Why.DISABLED})
"""The faults of a key that nobody can use.  They are shown only to its organization."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as its organization sees it.  `owner_id` is None for a key of the organization."""

    key_id: ApiKeyId
    tenant_id: TenantId
    owner_id: UserId | None
    public_id: str
    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    ended_at: datetime | None
    successor_id: ApiKeyId | None
    last_used_at: datetime | None
    use_count: int

    @property
    def prefix(self) -> str:
        """Return what may be shown of its text."""
        return PREFIX + self.public_id

    def state(self, at: datetime) -> Why | None:
        """Return why the key is no longer good; None while it is."""
        return _state(self.revoked_at, self.expires_at, at)


class StoredKey(Struct, frozen=True, kw_only=True):
    """The facts that a check needs.  `standing`: its organization and its owner are not disabled.

    `scopes` are those the key was given.  It has those of them that its owner may still grant: see
    `narrowed`.
    """

    key_id: ApiKeyId
    tenant_id: TenantId
    owner_id: UserId | None
    public_id: str
    secret_mac: bytes
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    standing: bool
    owner_role: str | None
    owner_platform_admin: bool
    policy: str | None
    cutoff: datetime | None
    """Tokens issued for the key up to then are revoked, by a cutoff of owner or organization."""

    @property
    def prefix(self) -> str:
        """Return what may be shown of its text."""
        return PREFIX + self.public_id

    def has_secret(self, mac: bytes) -> bool:
        """Whether `mac` is the HMAC of its secret, compared in constant time."""
        return hmac.compare_digest(mac, self.secret_mac)

    def state(self, at: datetime) -> Why | None:
        """Return why the key is not good; None when it is."""
        ended = _state(self.revoked_at, self.expires_at, at)
        return ended or (None if self.standing and self.scopes else Why.DISABLED)

    def narrowed(self, role_scopes: Mapping[str, tuple[str, ...]]) -> "StoredKey":
        """Return the key with only those scopes that its owner's role holds today.

        A key of an organization or of a platform administrator keeps all its scopes.
        """
        if self.owner_role is None or self.owner_platform_admin:
            return self
        held = role_scopes.get(self.owner_role, ())
        return structs.replace(self, scopes=tuple(one for one in self.scopes if one in held))

    def admits(self, address: str | None) -> bool:
        """Whether the key may be used from this address; None: the address is unknown."""
        if not self.networks:
            return True
        return address is not None and _within(address, self.networks)


def secret_mac(key: bytes, secret: str) -> bytes:
    """Return the MAC that is stored for a secret.  256 random bits need no slow hash."""
    return hmac_sha256(key, secret.encode())


def read_network(text: str) -> Network:
    """Parse an address or a network.  ValueError when it is none, or has bits beyond its mask.

    An IPv4 address written as IPv6 becomes IPv4.
    """
    if "%" in text:
        raise ValueError("an address with a zone")
    network = ipaddress.ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:  # noqa: PLR2004 - RFC 4291 section 2.5.5.2
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def _state(revoked_at: datetime | None, expires_at: datetime | None, at: datetime) -> Why | None:
    if revoked_at is not None:
        return Why.REVOKED
    return Why.EXPIRED if expires_at is not None and at >= expires_at else None


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


def _within(address: str, networks: tuple[str, ...]) -> bool:
    found = read_network(address).network_address
    return any(
        found.version == network.version and found in network for network in map(_network, networks)
    )
