"""A worker's cache of good API keys: checking a cached key costs no query.

Only good keys are cached, by the HMAC of their secret.  Nobody outside can compute that HMAC, and a
wrong secret takes the same path and time as an unknown key.  An entry is used for five minutes,
which is less than a revocation stays on the feed.  The caller checks that feed at every hit.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from msgspec import Struct

from service.domain.apikeys import store
from service.domain.apikeys.model import StoredKey
from service.kernel.batch import Batcher
from service.kernel.postgres import Postgres

_BELIEVED = timedelta(minutes=5)
_REMEMBERED = 50_000


class RememberedKey(Struct, frozen=True):
    """A key that was good at `as_of`, a moment just before it was read."""

    key: StoredKey
    as_of: datetime


class _Asked(Struct, frozen=True):
    public_id: str


class KnownKeys:
    """Cached keys, by the HMAC of their secret."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._known: OrderedDict[bytes, RememberedKey] = OrderedDict()
        self._reads = Batcher(self._read, key=id)  # two questions for one key may share a trip

    def find(self, mac: bytes, at: datetime) -> RememberedKey | None:
        """Return the cached key; None when there is none or it is too old."""
        held = self._known.get(mac)
        if held is None:
            return None
        if at - held.as_of < _BELIEVED:
            return held
        del self._known[mac]
        return None

    def put(self, mac: bytes, key: StoredKey, as_of: datetime) -> None:
        """Cache a good key."""
        self._known[mac] = RememberedKey(key, as_of)
        self._known.move_to_end(mac)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, mac: bytes) -> None:
        """Forget a key."""
        self._known.pop(mac, None)

    async def read(self, public_id: str) -> StoredKey | None:
        """Read a key from the database; readers share round trips.  Refused(UNAVAILABLE)."""
        return await self._reads.ask(_Asked(public_id))

    async def _read(self, asked: list[_Asked]) -> list[StoredKey | None]:
        async with self._pg.reading() as tx:
            found = await store.list_presented(tx, list({one.public_id for one in asked}))
        by_id = {key.public_id: key for key in found}
        return [by_id.get(one.public_id) for one in asked]
