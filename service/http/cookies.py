"""Our cookies: names, flags, and how to read them.

The header is parsed here.  Frameworks strip bytes that browsers keep, so that they can read another
name as ours.  Here a cookie must have exactly our name and be there once; otherwise 400.
"""

from collections.abc import Iterable

from litestar.datastructures import Cookie

from service.kernel.refusal import Reason, Refused

REFRESH = "__Host-refresh"
DEVICE = "__Host-device"

_LONGEST = 512


def read(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """Return a cookie's value, or None.  Refused(INVALID_REQUEST) when it is sent twice."""
    wanted = name.encode() + b"="
    found = [
        pair[len(wanted) :]
        for header, value in headers
        if header == b"cookie"
        for pair in (part.strip(b" \t") for part in value.split(b";"))
        if pair.startswith(wanted)
    ]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) > _LONGEST or not found[0].isascii():
        raise Refused(Reason.INVALID_REQUEST, "a cookie is there twice or malformed")
    return found[0].decode("ascii")


class _HostCookie(Cookie):
    """A cookie, written by the standard: no quotes, and the same bytes on every Python."""

    def to_header(self, **_options: object) -> str:
        """Return the header's value.

        `__Host-` demands Secure, Path=/ and no Domain (RFC 6265bis section 4.1.3.2).
        """
        flags = "Path=/; Secure; HttpOnly; SameSite=Strict"
        return f"{self.key}={self.value}; Max-Age={self.max_age}; {flags}"


def write(name: str, value: str, max_age: int) -> Cookie:
    """Return a cookie to set.  `max_age` is in seconds."""
    return _HostCookie(key=name, value=value, max_age=max_age)


def clear(name: str) -> Cookie:
    """Return a cookie that removes the one set before."""
    return write(name, "", 0)
