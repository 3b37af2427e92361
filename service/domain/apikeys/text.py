"""The text of an API key: `tsk_<public id>_<secret><checksum>`, all in base62.

The public id (12 letters, 71 bits) finds the row and may be shown.  The secret (43 letters) is 256
bits from the system's generator.  The checksum (6 letters) is the CRC-32 of everything before it,
so that garbage and copying mistakes are refused without a query.  Only the secret protects the key.
"""

import binascii
import os
import re
import secrets
from typing import Final

from msgspec import Struct

PATTERN: Final = r"tsk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b"
"""For secret scanners: every API key matches, and no other text of this service does.

It does not demand a word boundary before the key, because escapes end in a letter (`\\ntsk_...` in
JSON, `%3Dtsk_...` in a link).
"""

PREFIX: Final = "tsk_"

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 32
_PUBLIC, _SECRET, _CHECKSUM = 12, 43, 6  # 62 ** 43 > 2 ** 256, 62 ** 6 > 2 ** 32
_KEY = re.compile(r"tsk_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


class KeyText(Struct, frozen=True):
    """A key of the right form, which may or may not exist."""

    public_id: str
    secret: str

    @property
    def prefix(self) -> str:
        """Return what may be shown of it."""
        return PREFIX + self.public_id

    def written(self) -> str:
        """Return the whole key."""
        body = f"{self.prefix}_{self.secret}"
        return body + _checksum(body)


def new_text() -> KeyText:
    """Make a key."""
    public_id = _base62(secrets.randbelow(len(_LETTERS) ** _PUBLIC), _PUBLIC)
    return KeyText(public_id, _base62(int.from_bytes(os.urandom(_SECRET_BYTES)), _SECRET))


def read(text: str) -> KeyText | None:
    """Parse a key; None when its form or checksum is wrong."""
    found = _KEY.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM]) != found[3]:
        return None
    return KeyText(found[1], found[2])


def _checksum(body: str) -> str:
    return _base62(binascii.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(reversed(letters))
