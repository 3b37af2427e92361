"""Sealing: encryption at rest with the master keys, and keys that are derived from them.

Fernet has no associated data, so the encrypted envelope names its purpose: a ciphertext that was
moved to another row, name or version is refused.  Before the ciphertext, with a dot, stands the id
of its master key.  So ciphertexts of old keys can be counted without decrypting them, and a missing
key can be told from a damaged ciphertext.
"""

import base64
import binascii
import re

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

_MASTER = re.compile(r"[A-Za-z0-9_-]{43}=")
"""Checked first, because the decoder skips other characters and stops at the first `=`."""

_SEALED = re.compile(rb"([0-9a-f]{8})\.([A-Za-z0-9_-]+={0,2})")
_FRAME, _BLOCK = 1 + 8 + 16 + 32, 16
"""Bytes of a Fernet token around its text, and the block size.  The text has one block or more."""


class SealBrokenError(Exception):
    """A ciphertext cannot be decrypted, or was sealed for another purpose.  The text says which."""


class Envelope(Struct, frozen=True):
    """The plaintext of a ciphertext: a value, and what it is for."""

    purpose: str
    name: str
    value: bytes


class Seals(Struct, frozen=True):
    """How many ciphertexts a master key has sealed; `key_id` None: those that name no key."""

    key_id: str | None
    count: int


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """Derive a key for one purpose (HKDF-SHA-256, RFC 5869)."""
    info = f"tesserra-auth/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


def derive_token_key(secret: bytes, purpose: str) -> str:
    """Derive a Fernet key for one purpose, as text."""
    return base64.urlsafe_b64encode(derive(secret, purpose)).decode()


def seal_under(key: str, value: bytes) -> str:
    """Encrypt a value under a Fernet key."""
    return Fernet(key).encrypt(value).decode()


class Seal:
    """Seals and opens with the master keys, the newest first.  `repr` shows none of them."""

    def __init__(self, master_keys: tuple[str, ...]) -> None:
        if not master_keys:
            raise SealBrokenError("no master key is given (AUTH_MASTER_KEYS)")
        if not all(map(_MASTER.fullmatch, master_keys)):
            raise SealBrokenError("a master key is not 32 bytes in URL-safe base64 (a Fernet key)")
        masters = [base64.urlsafe_b64decode(key) for key in master_keys]
        self._masters = {derive(master, "key-id", 4).hex(): master for master in masters}
        self._ciphers: dict[str, dict[str, Fernet]] = {}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the master keys, the newest first.  An id reveals nothing about its key."""
        return tuple(self._masters)

    def newest_alone(self) -> "Seal":
        """Return a seal with only the newest master key."""
        newest = next(iter(self._masters.values()))
        return Seal((base64.urlsafe_b64encode(newest).decode(),))

    def seal(self, purpose: str, name: str, value: bytes) -> bytes:
        """Encrypt a value under the newest master key, bound to its purpose and name."""
        key_id, cipher = next(iter(self._under(purpose).items()))
        envelope = msgspec.json.encode(Envelope(purpose, name, value))
        return key_id.encode() + b"." + cipher.encrypt(envelope)

    def open(self, purpose: str, name: str, sealed: bytes) -> bytes:
        """Decrypt a value.

        SealBrokenError says what is wrong: cut short, altered, moved, or the key is missing.
        """
        what = f"{purpose} {name}"
        form = _SEALED.fullmatch(sealed)
        if form is None or not _is_whole(form[2]):
            raise SealBrokenError(f"{what}: the ciphertext is cut short, or is none")
        said = form[1].decode()
        for key_id, cipher in self._under(purpose).items():
            try:
                plain = cipher.decrypt(form[2])
            except InvalidToken:
                continue
            if key_id != said:
                break
            envelope = msgspec.json.decode(plain, type=Envelope)
            if (envelope.purpose, envelope.name) != (purpose, name):
                raise SealBrokenError(f"{what}: the ciphertext belongs to another name")
            return envelope.value
        else:
            if said not in self._masters:
                raise SealBrokenError(f"{what}: sealed under master key {said}, which is not given")
        raise SealBrokenError(f"{what}: the ciphertext was altered, or sealed for another purpose")

    def _under(self, purpose: str) -> dict[str, Fernet]:
        if purpose not in self._ciphers:
            self._ciphers[purpose] = {
                key_id: Fernet(derive_token_key(master, f"seal/{purpose}"))
                for key_id, master in self._masters.items()
            }
        return self._ciphers[purpose]


def sealed_by(sealed: bytes) -> str:
    """Return the id of the master key that a ciphertext names."""
    return sealed.partition(b".")[0].decode("latin-1")


def _is_whole(token: bytes) -> bool:
    """Whether this is a complete Fernet token, without stray bits in its last letter."""
    try:
        raw = base64.urlsafe_b64decode(token)
    except binascii.Error:
        return False
    text = len(raw) - _FRAME
    return text > 0 and text % _BLOCK == 0 and base64.urlsafe_b64encode(raw) == token
