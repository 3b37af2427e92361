"""The value of the device cookie: a device id and a MAC over it.  It does not sign anybody in."""

import hmac
from uuid import UUID

from service.kernel import jose
from service.kernel.ids import DeviceId
from service.kernel.mac import hmac_sha256

_BYTES = 16 + 32


def write(key: bytes, device_id: DeviceId) -> str:
    """Make the value for a device."""
    mac = hmac_sha256(key, device_id.bytes)
    return jose.encode(device_id.bytes + mac)


def read(key: bytes, given: str | None) -> DeviceId | None:
    """Return the device id of a value; None when this service did not make it."""
    if given is None or len(given) > 64:  # noqa: PLR2004 - 48 bytes in base64url
        return None
    try:
        raw = jose.decode(given)
    except ValueError:
        return None
    if len(raw) != _BYTES or not hmac.compare_digest(raw[16:], hmac_sha256(key, raw[:16])):
        return None
    return DeviceId(UUID(bytes=raw[:16]))
