"""The issuer's public keys (RFC 7517), through outages and rotations."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tesserra_verifier.clock import monotonic
from tesserra_verifier.errors import UnavailableError
from tesserra_verifier.remote import Remote, RemoteError

_HURRY_SECONDS, _HURRY_PAUSE = 3.0, 0.1
_LEAST_RSA_BITS = 2048
_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


@dataclass(frozen=True, slots=True)
class Key:
    """A public key for exactly one signature algorithm."""

    algorithm: str
    _verify: Callable[[bytes, bytes, Any], bool]
    _key: ECKey | RSAKey | OKPKey

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is a signature of this key over `signed`."""
        return self._verify(signed, signature, self._key)


class Keys:
    """Keys by `kid`.

    Refreshed every `interval` seconds, when a key was revoked, and when a token names a `kid` that
    is not known, the last at most once in `cooldown` seconds - but again and again for a moment
    after a key was revoked: its successor signs already, and not every worker of the service may
    have published it.  A failed refresh changes nothing.
    """

    def __init__(self, remote: Remote, interval: float, cooldown: float) -> None:
        self.version = 0
        """Grows whenever the keys change."""
        self._remote = remote
        self._interval = interval
        self._cooldown = cooldown
        self._keys: dict[str, Key] = {}
        self._etag: str | None = None
        self._asked = float("-inf")
        self._hurried = float("-inf")
        self._error: Exception | None = None
        self._due = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self.loaded = asyncio.Event()

    def __len__(self) -> int:
        return len(self._keys)

    async def follow(self) -> None:
        """Wait until a refresh is due, and refresh.  RemoteError without an answer."""
        if self.loaded.is_set() and self._error is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._due.wait()
        self._due.clear()
        await self._refresh()
        if self._error is not None:
            raise self._error

    def hurry(self) -> None:
        """Refresh as soon as possible."""
        self._due.set()
        self._hurried = monotonic()

    async def obtain(self, kid: str) -> Key | None:
        """Return a key, or None when the issuer has no such key.

        Asks the issuer for an unknown `kid`.  UnavailableError without an answer.
        """
        key = self._keys.get(kid)
        if key is not None:
            return key
        if self._asking is not None or monotonic() - self._asked >= self._pause():
            await self._refresh()
        if kid not in self._keys and (self._error is not None or not self.loaded.is_set()):
            raise UnavailableError("the issuer's keys could not be had")
        return self._keys.get(kid)

    def _pause(self) -> float:
        hurried = monotonic() - self._hurried < _HURRY_SECONDS
        return min(_HURRY_PAUSE, self._cooldown) if hurried else self._cooldown

    async def _refresh(self) -> None:
        """Read the keys.  Callers at the same time share one request."""
        if self._asking is None:
            self._asked = monotonic()
            self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        """Read the keys.  When that fails, the known keys stay, and `_error` says why."""
        try:
            answer = await self._remote.keys(self._etag)
            if answer is not None:
                document, etag = answer
                self._keys = _parse(document)
                self._etag = etag
                self.version += 1
            self._error = None
            self.loaded.set()
        except Exception as exc:  # noqa: BLE001 - whoever asked is told
            self._error = exc
        finally:
            self._asking = None


def _parse(document: object) -> dict[str, Key]:
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise RemoteError("not a JWKS")
    keys: dict[str, Key] = {}
    for member in members:
        if isinstance(member, dict) and isinstance(member.get("kid"), str):
            key = _key(member)
            if key is not None:
                keys[member["kid"]] = key
    if not keys:
        raise RemoteError("no usable key in the JWKS")
    return keys


def _key(jwk: Mapping[str, Any]) -> Key | None:
    """Return the key, or None for one of a kind this library does not use."""
    if jwk.get("use", "sig") != "sig":
        return None
    public = {name: jwk[name] for name in _MEMBERS if name in jwk}
    key: ECKey | RSAKey | OKPKey
    try:
        match jwk.get("kty"), jwk.get("crv"):
            case "EC", "P-256":
                algorithm, key = "ES256", ECKey.import_key(public)
            case "OKP", "Ed25519":
                algorithm, key = "EdDSA", OKPKey.import_key(public)
            case "RSA", None:
                if len(public["n"]) * 6 < _LEAST_RSA_BITS:  # base64url: six bits a letter
                    return None
                algorithm, key = "RS256", RSAKey.import_key(public)
            case _:
                return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if jwk.get("alg", algorithm) != algorithm:
        return None
    # taken from the registry itself, whose get_alg() warns of EdDSA at every call (RFC 9864)
    return Key(algorithm, JWSRegistry.algorithms[algorithm].verify, key)
