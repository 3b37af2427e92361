"""The keys a worker has seen: checking one of them costs no query.

Only what was found good is remembered, by the HMAC of its secret, which nobody outside can aim at:
a wrong secret and an unknown key take the same way, and the same time.  What is remembered is
believed for five minutes, less than a revocation stays on the feed; the caller holds it against
that feed at every hit.
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
    """A key that was good at `as_of`, the moment before it was read."""

    key: StoredKey
    as_of: datetime


class _Asked(Struct, frozen=True):
    public_id: str


class KnownKeys:
    """Keys by the HMAC of their secret."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._known: OrderedDict[bytes, RememberedKey] = OrderedDict()
        self._reads = Batcher(self._read, key=id)  # one who asks twice for a key waits for nobody

    def find(self, mac: bytes, at: datetime) -> RememberedKey | None:
        """Return what is remembered; None when it is nothing, or too old."""
        held = self._known.get(mac)
        if held is None:
            return None
        if at - held.as_of < _BELIEVED:
            return held
        del self._known[mac]
        return None

    def put(self, mac: bytes, key: StoredKey, as_of: datetime) -> None:
        """Remember a key that is good."""
        self._known[mac] = RememberedKey(key, as_of)
        self._known.move_to_end(mac)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, mac: bytes) -> None:
        """Forget a key."""
        self._known.pop(mac, None)

    async def read(self, public_id: str) -> StoredKey | None:
        """Read a key; many who ask at a time share a round trip.  Refused(UNAVAILABLE)."""
        return await self._reads.ask(_Asked(public_id))

    async def _read(self, asked: list[_Asked]) -> list[StoredKey | None]:
        async with self._pg.reading() as tx:
            found = await store.list_presented(tx, list({one.public_id for one in asked}))
        by_id = {key.public_id: key for key in found}
        return [by_id.get(one.public_id) for one in asked]
