"""Checks the URIs of a client, before they are stored.

Redirect URIs are compared as exact text (RFC 9700 section 2.1).  So none may have a wildcard or a
fragment, or anything that browsers and parsers read differently (OAuth 2.1 section 2.3, RFC 8252).
"""

import re
from urllib.parse import urlsplit

LONGEST_URI = 500
MOST_URIS = 20

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CHARACTERS = re.compile(r"(?:[!$&'()+,\-./0-9:;=?@A-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})+")
"""The characters of a URI (RFC 3986), without `#`, which begins a fragment, and `*`."""
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AUTHORITY = re.compile(rf"(?:(?:{_LABEL}\.)*{_LABEL}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")

_WEB = "https, or http on 127.0.0.1, [::1] or localhost"
_PLAIN = f"at most {LONGEST_URI} characters of ASCII, without user, fragment and `*`"

REDIRECT = f"must be {_WEB}, at an exact address: {_PLAIN}"
NATIVE = (
    f"must be {_WEB}, or of a scheme with a dot in it such as com.example.app:/callback, at an"
    f" exact address: {_PLAIN}"
)
ORIGIN = f"must be an origin such as https://app.example.com: {_WEB}, in lower case, without a path"
PAGE = f"must be an https address: {_PLAIN}"
BACKCHANNEL = f"must be {_WEB}: {_PLAIN}"


def is_redirect(uri: str, *, native: bool) -> bool:
    """Whether this may be a redirect URI.

    It may be https, or http to a loopback address with any port (RFC 8252 section 7.3).  A `native`
    application, which is a public client, may also have a private-use scheme: a reversed domain
    name, which has a dot (section 7.1).
    """
    if is_web(uri):
        return True
    scheme, colon, rest = uri.partition(":")
    private = bool(_PRIVATE_SCHEME.fullmatch(scheme)) and bool(colon) and rest.startswith("/")
    return native and private and _is_plain(uri) and "@" not in rest


def is_web(uri: str) -> bool:
    """Whether it is https, or http to a loopback address."""
    if not _is_plain(uri):
        return False
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port out of range, brackets around no address
        return False
    exact = uri.startswith(f"{parts.scheme}://") and _AUTHORITY.fullmatch(parts.netloc)
    if not exact or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def is_https(uri: str) -> bool:
    """Whether it is an https address."""
    return is_web(uri) and uri.startswith("https:")


def is_origin(origin: str) -> bool:
    """Whether it is an origin as browsers send it (RFC 6454 section 6.2)."""
    if not is_web(origin) or origin != origin.lower():
        return False
    parts = urlsplit(origin)
    default = {"https": 443, "http": 80}[parts.scheme]
    return origin == f"{parts.scheme}://{parts.netloc}" and parts.port != default


def _is_plain(uri: str) -> bool:
    return len(uri) <= LONGEST_URI and _CHARACTERS.fullmatch(uri) is not None
