"""The clients a worker has seen: authenticating one costs no query.

An entry is believed for a minute, and not at all once a revocation by `client_id` is newer than it.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from msgspec import Struct

from service.domain.clients import store
from service.domain.clients.model import Client
from service.kernel.postgres import Postgres

BELIEVED = timedelta(seconds=60)
"""How long what is known of a client is believed."""

_DOUBTED = timedelta(seconds=1)
_NOT_AT_ALL = timedelta(0)
_REMEMBERED = 5_000


class _Entry(Struct, frozen=True):
    """A client as it was at a moment; `doubted`: read because a secret did not fit."""

    at: datetime
    client: Client
    doubted: bool


class KnownClients:
    """Clients by id."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._known: OrderedDict[str, _Entry] = OrderedDict()

    async def find(
        self,
        client_id: str,
        at: datetime,
        changed_at: datetime | None,
        *,
        doubtful: bool = False,
    ) -> Client | None:
        """Return a client that is not disabled; `changed_at` is the newest revocation of it.

        `doubtful`: its secret did not fit.  It may be a new one: the client is read again, once a
        second at most.
        """
        known = self._known.get(client_id)
        if known is not None and (changed_at is None or changed_at < known.at):
            longest = BELIEVED if not doubtful else _DOUBTED if known.doubted else _NOT_AT_ALL
            if at - known.at < longest:
                return known.client
        async with self._pg.reading() as tx:
            found = await store.find(tx, client_id)
        self._known.pop(client_id, None)
        if found is None or found.disabled_at is not None:
            return None
        self._known[client_id] = _Entry(at, found, doubtful)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found
