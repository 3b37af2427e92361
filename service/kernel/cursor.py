"""Cursors of lists: where a page ended, signed, so that nobody can point one elsewhere."""

import hashlib
import hmac
from uuid import UUID

from service.kernel import jose
from service.kernel.refusal import Reason, Refused

_MAC_BYTES = 16


def write(key: bytes, list_name: str, last: UUID) -> str:
    """Make the cursor that goes on after `last` in one list."""
    return jose.encode(last.bytes + _mac(key, list_name, last.bytes))


def read(key: bytes, list_name: str, given: str | None) -> UUID | None:
    """Return where to go on; None at the start.  Refused(INVALID_REQUEST) for a foreign one."""
    if given is None:
        return None
    try:
        raw = jose.decode(given)
    except ValueError:
        raw = b""
    last = raw[:16]
    if len(raw) != 16 + _MAC_BYTES or not hmac.compare_digest(raw[16:], _mac(key, list_name, last)):
        raise Refused(Reason.INVALID_REQUEST, "not a cursor of this list", fields=("cursor",))
    return UUID(bytes=last)


def _mac(key: bytes, list_name: str, last: bytes) -> bytes:
    return hmac.digest(key, list_name.encode() + b"\0" + last, hashlib.sha256)[:_MAC_BYTES]
