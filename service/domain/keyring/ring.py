"""The key ring as a worker holds it."""

from datetime import datetime, timedelta

import msgspec

from service.domain.keyring import store
from service.domain.keyring.model import Stored, Usage
from service.kernel import jose
from service.kernel.clock import Clock
from service.kernel.postgres import Postgres
from service.kernel.refusal import unavailable
from service.kernel.seal import Seal, derive

_ORDER = {"ES256": 0, "RS256": 1, "EdDSA": 2}
"""RSA and EC before OKP: some verifiers reject a whole set that begins with an OKP key."""


class KeyRing:
    """Signing keys in memory, by header.  `refresh` reads them anew."""

    def __init__(self, seal: Seal, root: bytes, clock: Clock) -> None:
        self._seal = seal
        self._clock = clock
        self._derived = {usage: derive(root, usage.value) for usage in Usage}
        self._keys: dict[str, tuple[Stored, jose.Key]] = {}
        self._by_header: dict[str, tuple[Stored, jose.Key]] = {}
        self.jwks = b'{"keys":[]}'

    def derived(self, usage: Usage) -> bytes:
        """Return the HMAC key of one usage."""
        return self._derived[usage]

    async def refresh(self, pg: Postgres) -> None:
        """Read the ring.  SealBrokenError when a key does not open."""
        at = self._clock.now()
        async with pg.reading() as tx:
            published = await store.list_published(tx, at)
        keys = {stored.kid: (stored, self._open(stored)) for stored in published}
        self._keys = keys
        self._by_header = {key.header: (stored, key) for stored, key in keys.values()}
        ordered = sorted(keys.values(), key=lambda pair: self._place(pair[0], at))
        self.jwks = msgspec.json.encode({"keys": [key.jwk for _, key in ordered]})

    async def ensure(self, pg: Postgres, algorithm: jose.Algorithm) -> None:
        """Make the first signing key of a deployment, active at once."""
        async with pg.decision() as tx:
            await store.lock(tx)
            at = self._clock.now()
            published = await store.list_published(tx, at)
            if not any(stored.state(at) == "active" for stored in published):
                kid = await store.insert_key(tx, self._seal, algorithm, at, at)
                await store.retire_others(tx, kid, at, at + timedelta(hours=2))
        await self.refresh(pg)

    def signing(self, at: datetime) -> jose.Key:
        """Return the key that signs at a moment: of the active ones the youngest."""
        active = [pair for pair in self._keys.values() if pair[0].state(at) == "active"]
        if not active:
            raise unavailable("no active signing key")
        return max(active, key=lambda pair: pair[0].activates_at)[1]

    def find(self, header: str) -> jose.Key | None:
        """Return the key whose header this is, to verify with; not one that is removed."""
        found = self._by_header.get(header)
        if found is None or found[0].state(self._clock.now()) == "removed":
            return None
        return found[1]

    def _open(self, stored: Stored) -> jose.Key:
        if known := self._keys.get(stored.kid):
            return known[1]
        pem = self._seal.open(store.PURPOSE_KEY, stored.kid, stored.sealed)
        return jose.Key(stored.algorithm, pem)

    def _place(self, stored: Stored, at: datetime) -> tuple[int, int, float]:
        """By key type, then the active one first, then the youngest."""
        active = stored.state(at) == "active"
        return _ORDER[stored.algorithm], 0 if active else 1, -stored.activates_at.timestamp()
