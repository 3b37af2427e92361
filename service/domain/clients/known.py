"""The clients a worker has seen: authenticating one costs no query.

An entry is believed for a minute, and not at all once a revocation by `client_id` is newer than it.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from service.domain.clients import store
from service.domain.clients.model import Client
from service.kernel.postgres import Postgres

_BELIEVED = timedelta(seconds=60)
_REMEMBERED = 5_000


class KnownClients:
    """Clients by id."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._known: OrderedDict[str, tuple[datetime, Client]] = OrderedDict()

    async def find(
        self, client_id: str, at: datetime, changed_at: datetime | None
    ) -> Client | None:
        """Return a client that is not disabled; `changed_at` is the newest revocation of it."""
        known = self._known.get(client_id)
        believed = known is not None and at - known[0] < _BELIEVED
        if known is not None and believed and (changed_at is None or changed_at < known[0]):
            return known[1]
        async with self._pg.reading() as tx:
            found = await store.find(tx, client_id)
        self._known.pop(client_id, None)
        if found is None or found.disabled_at is not None:
            return None
        self._known[client_id] = (at, found)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found
