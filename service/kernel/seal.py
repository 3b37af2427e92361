"""Sealing: what is encrypted at rest, and the keys that are derived rather than stored.

Fernet has no associated data, so the envelope inside carries what the ciphertext is *for*: a
ciphertext moved to another row, name or version opens and is refused.
"""

import base64
import re

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

_MASTER = re.compile(r"[A-Za-z0-9_-]{43}=")
"""The decoder alone would skip what is no letter and stop at the first `=`."""


class SealBrokenError(Exception):
    """A ciphertext does not open, or was sealed for something else.  The message says which."""


class Envelope(Struct, frozen=True):
    """What is inside a ciphertext."""

    purpose: str
    name: str
    value: bytes


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """Derive a key for one purpose (HKDF-SHA-256, RFC 5869)."""
    info = f"tesserra-auth/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


class Seal:
    """Seals and opens with the master keys, the newest first.  `repr` shows none of them."""

    def __init__(self, master_keys: tuple[str, ...]) -> None:
        if not master_keys:
            raise SealBrokenError("no master key is given (AUTH_MASTER_KEYS)")
        if not all(map(_MASTER.fullmatch, master_keys)):
            raise SealBrokenError("a master key is not 32 bytes in URL-safe base64 (a Fernet key)")
        self._masters = [base64.urlsafe_b64decode(key) for key in master_keys]

    def seal(self, purpose: str, name: str, value: bytes) -> bytes:
        """Encrypt under the newest master key, bound to what it is for."""
        return self._cipher(purpose).encrypt(msgspec.json.encode(Envelope(purpose, name, value)))

    def open(self, purpose: str, name: str, sealed: bytes) -> bytes:
        """Decrypt; SealBrokenError when no key opens it or it was sealed for something else."""
        try:
            plain = self._cipher(purpose).decrypt(sealed)
        except InvalidToken:
            raise SealBrokenError(f"{purpose} {name}: no master key opens it") from None
        envelope = msgspec.json.decode(plain, type=Envelope)
        if (envelope.purpose, envelope.name) != (purpose, name):
            raise SealBrokenError(f"{purpose} {name}: the ciphertext belongs to another name")
        return envelope.value

    def _cipher(self, purpose: str) -> MultiFernet:
        keys = (derive(master, f"seal/{purpose}") for master in self._masters)
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
