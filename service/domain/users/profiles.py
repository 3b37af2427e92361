"""A worker's cache of names: of a person and their organization, for one minute.

`/auth/me` is asked often and names change rarely, so that it costs no query.  No decision uses it.
"""

from collections import OrderedDict

from msgspec import Struct

from service.kernel.clock import Clock
from service.kernel.ids import SessionId

_SECONDS = 60.0
_REMEMBERED = 20_000


class Profile(Struct, frozen=True, kw_only=True):
    """What `/auth/me` shows of a person in an organization."""

    email: str
    name: str
    slug: str
    organization: str
    role: str


class Profiles:
    """Cached profiles, by session."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[SessionId, tuple[float, Profile]] = OrderedDict()

    def find(self, session_id: SessionId) -> Profile | None:
        """Return a profile that is at most one minute old; None when there is none."""
        known = self._known.get(session_id)
        if known is None or self._clock.monotonic() - known[0] > _SECONDS:
            return None
        return known[1]

    def put(self, session_id: SessionId, profile: Profile) -> None:
        """Cache a profile."""
        self._known.pop(session_id, None)
        self._known[session_id] = (self._clock.monotonic(), profile)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
