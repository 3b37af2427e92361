"""Refresh tokens: `handle . generation . HMAC-SHA-256(K, handle | generation)`, base64url.

The handle is 192 random bits, stored nowhere; its hash finds the row.  So nothing in the database
yields a token.  The MAC shows that an old token is genuine without any stored history, and the next
token is known before any query.
"""

import hashlib
import hmac
import os
import re

from service.domain.families.model import PresentedToken
from service.kernel import jose
from service.kernel.mac import hmac_sha256

_HANDLE_BYTES = 24
_SHAPE = re.compile(r"([A-Za-z0-9_-]{32})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})")


class Minter:
    """Makes and checks tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def first(self) -> tuple[str, PresentedToken]:
        """Make the first token of a new family: generation 1, with a new handle."""
        return self.token(os.urandom(_HANDLE_BYTES), 1)

    def token(self, handle: bytes, generation: int) -> tuple[str, PresentedToken]:
        """Make the token of a generation.  There is exactly one for each."""
        text = self._write(handle, generation)
        return text, _presented(handle, generation, text)

    def read(self, given: str) -> PresentedToken | None:
        """Check a presented token; None unless it is, byte for byte, a token that we would make."""
        shape = _SHAPE.fullmatch(given)
        if shape is None:
            return None
        handle, generation = jose.decode(shape[1]), int(shape[2])
        if not hmac.compare_digest(self._write(handle, generation), given):
            return None
        return _presented(handle, generation, given)

    def _write(self, handle: bytes, generation: int) -> str:
        mac = hmac_sha256(self._key, handle + generation.to_bytes(8))
        return f"{jose.encode(handle)}.{generation}.{jose.encode(mac)}"


def _presented(handle: bytes, generation: int, text: str) -> PresentedToken:
    return PresentedToken(
        handle,
        hashlib.sha256(handle).digest(),
        generation,
        hashlib.sha256(text.encode()).digest(),
    )
