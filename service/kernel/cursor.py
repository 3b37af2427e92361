"""Cursors of lists: where a page ended, with a MAC, so that nobody can make one up."""

import hmac
from uuid import UUID

from service.kernel import jose
from service.kernel.mac import hmac_sha256
from service.kernel.refusal import Reason, Refused

_MAC_BYTES = 16


def write(key: bytes, list_name: str, last: UUID | str) -> str:
    """Make the cursor for the page after `last`.  One list uses either ids or names, never both."""
    raw = last.encode() if isinstance(last, str) else last.bytes
    return jose.encode(raw + _mac(key, list_name, raw))


def read(key: bytes, list_name: str, given: str) -> UUID:
    """Return the id after which the page begins.  Refused(INVALID_REQUEST): not our cursor."""
    return UUID(bytes=_read(key, list_name, given))


def read_name(key: bytes, list_name: str, given: str) -> str:
    """Return the name after which the page begins.  Refused(INVALID_REQUEST): not our cursor."""
    return _read(key, list_name, given).decode()


def _read(key: bytes, list_name: str, given: str) -> bytes:
    try:
        raw = jose.decode(given)
    except ValueError:
        raw = b""
    last, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not last or not hmac.compare_digest(mac, _mac(key, list_name, last)):
        raise Refused(Reason.INVALID_REQUEST, "not a cursor of this list", fields=("cursor",))
    return last


def _mac(key: bytes, list_name: str, last: bytes) -> bytes:
    return hmac_sha256(key, list_name.encode() + b"\0" + last)[:_MAC_BYTES]
