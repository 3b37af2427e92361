"""Tells whether a browser treats two origins as different sites.

It matters for cookies: those with SameSite=Strict or Lax are not sent between sites (RFC 6265bis
section 5.2).  The answer is given only where it is certain without the public suffix list.
"""

import ipaddress
import re
from urllib.parse import urlsplit

_PUBLIC = re.compile(
    r"(co|org|gov|ac)\.uk|(com|net|org|gov)\.(br|au)|co\.(nz|za|in|jp|kr)|(ne|or)\.jp"
    r"|com\.(mx|ar|co|tr|cn|hk|sg|tw)|(github|gitlab)\.io|herokuapp\.com|(vercel|netlify|web)\.app"
    r"|(pages|workers|fly)\.dev|firebaseapp\.com|azurewebsites\.net|onrender\.com"
)
"""Two-label suffixes under which anybody can register.  Other such suffixes go unnoticed."""


def surely_cross_site(one: str, other: str) -> bool:
    """Whether two origins certainly are different sites.  Ports do not count."""
    first, second = urlsplit(one), urlsplit(other)
    if first.scheme != second.scheme:
        return True
    hosts = first.hostname or "", second.hostname or ""
    if hosts[0] == hosts[1]:
        return False
    if any(_is_address(host) for host in hosts):
        return True
    names = [host.rstrip(".").split(".")[::-1] for host in hosts]
    shared: list[str] = []
    for label, same in zip(*names, strict=False):
        if label != same:
            break
        shared.append(label)
    if len(shared) < 2:  # noqa: PLR2004 - a site has a name under its suffix
        return True
    return len(shared) == 2 and _PUBLIC.fullmatch(".".join(shared[::-1])) is not None  # noqa: PLR2004


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
