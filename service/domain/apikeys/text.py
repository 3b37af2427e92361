"""How a key is written: `tsk_<public id>_<secret><checksum>`, all in base62.

The public id (12 letters, 71 bits) finds the row and may be shown; the secret (43 letters) is 256
bits of the system's generator; the checksum (6 letters) is the CRC-32 of everything before it, so
that garbage and what was copied badly are refused without a query.  It is no protection: the secret
is.
"""

import binascii
import os
import re
import secrets
from typing import Final

from msgspec import Struct

PATTERN: Final = r"tsk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b"
"""For scanners of secrets: every key matches, and nothing else of ours does.

Whatever stands before: an escape (`\\ntsk_...` in JSON, `%3Dtsk_...` in a link) ends in a letter.
"""

PREFIX: Final = "tsk_"

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 32
_PUBLIC, _SECRET, _CHECKSUM = 12, 43, 6  # 62 ** 43 > 2 ** 256, 62 ** 6 > 2 ** 32
_KEY = re.compile(r"tsk_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


class KeyText(Struct, frozen=True):
    """A key that is well written, whether it exists or not."""

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
    """Read a key; None when it is not one, to the letter."""
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
