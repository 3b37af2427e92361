"""Checks the value of `Host`: a name or an address, with or without a port.

The service builds no URL from it.  The check (RFC 9112 section 3.2) prevents that two servers on
the way read one request as meant for different hosts.
"""

import ipaddress
import re
from functools import lru_cache

LONGEST = 255 + len(":65535")
_LARGEST_PORT = 65535
_NAMED = re.compile(
    rb"(?:(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|\[([0-9A-Fa-f:.]{2,45})\])"
    rb"(?::([0-9]{0,5}))?"
)
"""The part of the grammar in RFC 3986 section 3.2.2 that DNS names and addresses use."""


def may_be(host: bytes) -> bool:
    """Whether a value is allowed for `Host`."""
    return len(host) <= LONGEST and _may_be(host)


@lru_cache(256)
def _may_be(host: bytes) -> bool:
    found = _NAMED.fullmatch(host)
    if found is None or int(found[2] or 0) > _LARGEST_PORT:
        return False
    if found[1] is not None:
        try:
            ipaddress.IPv6Address(found[1].decode())
        except ValueError:
            return False
    return True
