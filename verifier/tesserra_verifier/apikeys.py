"""API keys: their form, the service's answers about them, and how long an answer counts.

The service decides.  Its answer is cached as long as the feed would report every change of it.  The
service may answer from data that is one second old.  So an answer counts only if it was requested
more than one second after the last feed entry that may apply to it.
"""

import binascii
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tesserra_verifier.clock import monotonic
from tesserra_verifier.errors import InsufficientScopeError
from tesserra_verifier.remote import RemoteError, read_moment, read_text

KEY_PATTERN: Final = r"tsk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b"
"""Every API key matches this; for secret scanners."""

_KEY = re.compile(r"tsk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM = 6
_BELIEVED = 300.0
_SERVICE_LAG = 1.0


@dataclass(frozen=True, slots=True)
class KeyClaims:
    """The service's answer for a good API key.  `expires_at` is in seconds since 1970, or None."""

    key_id: str
    tenant_id: str
    scopes: tuple[str, ...]
    expires_at: float | None

    def require(self, *scopes: str) -> None:
        """Raise InsufficientScopeError unless the key has all these scopes."""
        if not set(scopes) <= set(self.scopes):
            raise InsufficientScopeError(*scopes)


def is_written(text: str) -> bool:
    """Whether a text has the form of an API key, with the right checksum (CRC-32, base62)."""
    if _KEY.fullmatch(text) is None:
        return False
    number, letters = binascii.crc32(text[:-_CHECKSUM].encode()), ""
    for _ in range(_CHECKSUM):
        number, rest = divmod(number, len(_LETTERS))
        letters = _LETTERS[rest] + letters
    return letters == text[-_CHECKSUM:]


def read(told: object) -> KeyClaims | str:
    """Read an answer of /api-keys/verify: the key's claims, or why it is not good.

    RemoteError when it is neither.
    """
    try:
        return _read(told)
    except (KeyError, TypeError, ValueError) as exc:
        raise RemoteError(f"/api-keys/verify: not an answer: {exc!r}") from None


def _read(told: Any) -> KeyClaims | str:
    if not isinstance(told, Mapping) or not isinstance(told["valid"], bool):
        raise TypeError("not a verdict")
    if not told["valid"]:
        return read_text(told["reason"])
    if not isinstance(told["scopes"], list):
        raise TypeError("not a list")
    expires_at = told["expires_at"]
    return KeyClaims(
        key_id=read_text(told["key_id"]),
        tenant_id=read_text(told["tenant_id"]),
        scopes=tuple(map(read_text, told["scopes"])),
        expires_at=None if expires_at is None else read_moment(expires_at),
    )


def digest(key: str, scope: str | None, address: str | None) -> bytes:
    """Return the cache key of an answer, so that the API key itself is not stored."""
    return hashlib.sha256(json.dumps([key, scope, address]).encode()).digest()


class Verdicts:
    """Cached good keys, and when the feed last reported something that may have ended them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[bytes, tuple[KeyClaims, float]] = OrderedDict()
        self._owners_changed = float("-inf")
        self._tenants_changed: dict[str, float] = {}

    def heard(self, kind: str, value: str, tenant_id: str | None = None) -> None:
        """Note an entry of the feed.

        The service does not say who owns a key.  So an entry on any person (`sub`) ends all cached
        answers, or those of one organization if it names one.  Entries on keys (`akid`) are found
        among the revocations.
        """
        if kind == "sub" and tenant_id is not None:
            kind, value = "tenant_id", tenant_id
        if kind == "sub":
            self._owners_changed = monotonic()
            self._held.clear()
        elif kind == "tenant_id":
            self._tenants_changed[value] = monotonic()
            if len(self._tenants_changed) > self._size:
                # whichever of them was forgotten, its keys are asked about again
                self._tenants_changed.clear()
                self.heard("sub", "")

    def find(self, one: bytes) -> KeyClaims | None:
        """Return a cached answer that still counts; None when there is none."""
        held = self._held.get(one)
        if held is None:
            return None
        claims, asked = held
        changed = max(
            self._owners_changed, self._tenants_changed.get(claims.tenant_id, float("-inf"))
        )
        if monotonic() - asked < _BELIEVED and asked > changed + _SERVICE_LAG:
            return claims
        del self._held[one]
        return None

    def put(self, one: bytes, claims: KeyClaims, asked: float) -> None:
        """Cache an answer, with the monotonic time at which it was requested."""
        self._held[one] = claims, asked
        self._held.move_to_end(one)
        if len(self._held) > self._size:
            self._held.popitem(last=False)

    def forget(self, one: bytes) -> None:
        """Forget an answer."""
        self._held.pop(one, None)
