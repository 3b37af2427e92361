"""HMAC-SHA-256 (RFC 2104) for keys that are used many times.

Each key is prepared once and copied for each message.  `hmac.digest` prepares the key every time,
which costs more than the MAC of a token.
"""

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the MAC of a message, 32 bytes."""
    keyed = _prepared(key).copy()
    keyed.update(message)
    return keyed.finalize()


@lru_cache(64)
def _prepared(key: bytes) -> HMAC:
    return HMAC(key, SHA256())
