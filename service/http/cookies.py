"""The one place that knows our cookies: names, flags, and how to read them.

We parse the header ourselves: frameworks strip bytes that browsers keep, so that a name that is not
ours can be read as ours.  Exact bytes, exactly one, else 400.
"""

from collections.abc import Iterable

from litestar.datastructures import Cookie

from service.kernel.refusal import Reason, Refused

REFRESH = "__Host-refresh"
DEVICE = "__Host-device"

_LONGEST = 512


def read(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """Return a cookie's value, or None.  Refused(INVALID_REQUEST) when it is there twice."""
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
    """Written as the standard spells it: no quotes, and the same bytes on every Python."""

    def to_header(self, **_options: object) -> str:
        """Return the header's value.

        `__Host-` demands Secure, Path=/ and no Domain (RFC 6265bis section 4.1.3.2).
        """
        flags = "Path=/; Secure; HttpOnly; SameSite=Strict"
        return f"{self.key}={self.value}; Max-Age={self.max_age}; {flags}"


def write(name: str, value: str, max_age: int) -> Cookie:
    """Return a cookie to set; `max_age` in seconds, never beyond the session's absolute end."""
    return _HostCookie(key=name, value=value, max_age=max_age)


def clear(name: str) -> Cookie:
    """Return a cookie that removes the one set before."""
    return write(name, "", 0)
