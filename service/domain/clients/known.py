"""The clients a worker has seen: authenticating one costs no query.

An entry is believed for a minute, and by the caller not at all once a revocation of the client or
of its organization is newer than it.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from msgspec import Struct

from service.domain.clients import store
from service.domain.clients.model import Client
from service.kernel.postgres import Postgres

BELIEVED = timedelta(seconds=60)
"""How long an entry is used."""

_DOUBTED = timedelta(seconds=1)
_NOT_AT_ALL = timedelta(0)
_REMEMBERED = 5_000


class Known(Struct, frozen=True):
    """A client as it was at a moment.

    `as_of`: epoch and number of the newest revocation known before it was read; `doubted`: read
    because the entry before it led to a refusal.
    """

    at: datetime
    as_of: tuple[str, int]
    client: Client
    doubted: bool


class KnownClients:
    """Clients by id."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._known: OrderedDict[str, Known] = OrderedDict()

    def find(self, client_id: str, at: datetime, *, doubtful: bool = False) -> Known | None:
        """Return what is known of a client and not too old.

        `doubtful`: by what is known, the caller would refuse: a credential, a grant or a scope does
        not fit, or the client is not first-party.  The client may have changed: it is read again,
        once a second at most.
        """
        known = self._known.get(client_id)
        if known is None:
            return None
        longest = BELIEVED if not doubtful else _DOUBTED if known.doubted else _NOT_AT_ALL
        return known if at - known.at < longest else None

    async def read(
        self, client_id: str, at: datetime, as_of: tuple[str, int], *, doubtful: bool = False
    ) -> Client | None:
        """Read a client that may act, and remember it.  Refused(UNAVAILABLE)."""
        async with self._pg.reading() as tx:
            found = await store.find_enabled(tx, client_id)
        self._known.pop(client_id, None)
        if found is None:
            return None
        self._known[client_id] = Known(at, as_of, found, doubtful)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found
