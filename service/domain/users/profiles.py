"""How a person and organization are called, remembered by a worker for a minute.

`/auth/me` asks often and a name changes rarely: it costs no query.  Nothing is decided on it.
"""

from collections import OrderedDict

from msgspec import Struct

from service.kernel.clock import Clock
from service.kernel.ids import SessionId

_SECONDS = 60.0
_REMEMBERED = 20_000


class Profile(Struct, frozen=True, kw_only=True):
    """What is shown of a person in an organization."""

    email: str
    name: str
    slug: str
    organization: str
    role: str


class Profiles:
    """Profiles by session."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[SessionId, tuple[float, Profile]] = OrderedDict()

    def find(self, session_id: SessionId) -> Profile | None:
        """Return a profile that is no older than a minute."""
        known = self._known.get(session_id)
        if known is None or self._clock.monotonic() - known[0] > _SECONDS:
            return None
        return known[1]

    def put(self, session_id: SessionId, profile: Profile) -> None:
        """Remember a profile."""
        self._known.pop(session_id, None)
        self._known[session_id] = (self._clock.monotonic(), profile)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
