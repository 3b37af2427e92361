"""The key ring in the memory of a worker."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from service.domain.keyring import changes, store
from service.domain.keyring.model import Described, Schedule, Stored, Usage
from service.domain.keyring.store import Fresh
from service.kernel import jose
from service.kernel.clock import Clock
from service.kernel.log import log
from service.kernel.postgres import Postgres
from service.kernel.refusal import unavailable
from service.kernel.seal import Seal, SealBrokenError, derive

_ORDER = {"ES256": 0, "RS256": 1, "EdDSA": 2}
"""RSA and EC before OKP: some verifiers reject a whole set that begins with an OKP key."""

_COOLDOWN = 1.0
"""The least seconds between two searches for an unknown `kid`, since anybody can invent one."""

_Pair = tuple[Stored, jose.Key]


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    alg: jose.Algorithm
    kid: str
    typ: str


class _Shown(Struct, frozen=True):
    """The public keys as they are shown, until one of them changes."""

    document: bytes
    kids: list[str]
    since: datetime
    until: datetime


_NEVER = datetime.max.replace(tzinfo=UTC)
_NOTHING = _Shown(b"", [], _NEVER, _NEVER)


class KeyRing:
    """Signing keys in memory, by header.  `refresh` reads them anew.

    `is_revoked` tells of a `kid`, from memory: a key that is being killed must not sign, whatever
    this worker has read of the ring so far.
    """

    def __init__(
        self,
        seal: Seal,
        root: bytes,
        clock: Clock,
        schedule: Schedule,
        is_revoked: Callable[[str], bool],
    ) -> None:
        self._seal = seal
        self._schedule = schedule
        self._clock = clock
        self._is_revoked = is_revoked
        self._derived = {usage: derive(root, usage.value) for usage in Usage}
        self._published: list[Stored] = []
        """The youngest first, with those that do not open."""
        self._keys: dict[str, _Pair] = {}
        """The youngest first."""
        self._by_header: dict[str, _Pair] = {}
        self._shown = _NOTHING
        self._reading = asyncio.Lock()
        self.broken: list[str] = []
        """Why published keys cannot be decrypted.  Such keys are left out of the ring."""
        self._asked = float("-inf")

    def derived(self, usage: Usage) -> bytes:
        """Return the HMAC key of one usage."""
        return self._derived[usage]

    @property
    def jwks(self) -> bytes:
        """Return the public keys (RFC 7517): by algorithm, then the one that signs, then by age."""
        at, shown = self._clock.now(), self._shown
        if not shown.since <= at < shown.until or any(map(self._is_revoked, shown.kids)):
            shown = self._shown = self._show(at)
        return shown.document

    def _show(self, at: datetime) -> "_Shown":
        living = [pair for pair in self._keys.values() if self._lives(pair[0], at)]
        living.sort(key=lambda pair: self._place(pair[0], at))
        changes = [change for stored, _ in living for change in stored.changes() if change > at]
        return _Shown(
            document=msgspec.json.encode({"keys": [key.jwk for _, key in living]}),
            kids=[stored.kid for stored, _ in living],
            since=at,
            until=min(changes, default=_NEVER),
        )

    async def refresh(self, pg: Postgres) -> None:
        """Read the ring from the database.  A key that cannot be decrypted is left out."""
        async with self._reading:  # else an older reading could replace a newer one
            async with pg.reading() as tx:
                published = await store.list_published(tx, self._clock.now())
            keys: dict[str, _Pair] = {}
            broken: list[str] = []
            for stored in published:
                try:
                    keys[stored.kid] = (stored, await self._open(stored))
                except SealBrokenError as exc:
                    broken.append(str(exc))
            if broken and broken != self.broken:
                log().warning("signing keys do not open", error="; ".join(broken))
            self._published, self._keys, self.broken = published, keys, broken
            self._shown = _NOTHING
            self._by_header = {key.header: (stored, key) for stored, key in keys.values()}

    async def ensure(self, pg: Postgres) -> None:
        """Make the first signing key of a deployment, active at once."""
        await self.refresh(pg)
        if not any(stored.signs(self._clock.now()) for stored in self._published):
            fresh = await asyncio.to_thread(Fresh.generate, self._schedule.access_tokens)
            async with pg.decision() as tx:
                await store.lock(tx)
                at = self._clock.now()
                published = await store.list_published(tx, at)
                if not any(stored.signs(at) for stored in published):
                    await changes.publish(tx, self._seal, fresh, at, self._schedule)
        await self.refresh(pg)

    async def learn(self, pg: Postgres, token: str) -> None:
        """Look once more when a token names a key this worker has not read of.

        The first tokens of a key that was made to sign at once arrive with the news of it.  Refused
        (UNAVAILABLE) when the ring cannot be read: then nobody can say whether the token is good.
        """
        header = token.partition(".")[0]
        if header in self._by_header or not self._may_be_ours(header):
            return
        if self._reading.locked():
            async with self._reading:
                return
        if self._clock.monotonic() - self._asked >= _COOLDOWN:
            self._asked = self._clock.monotonic()
            await self.refresh(pg)

    def signing(self, at: datetime) -> jose.Key:
        """Return the key that signs access tokens at a moment, and checkpoints of the audit trail.

        Refused(UNAVAILABLE) when there is none, as between the news of a kill and the next reading.
        A key of another algorithm does not take its place.
        """
        return self.signing_by(self._schedule.access_token_algorithm(self._published, at), at)

    def signing_by(self, algorithm: jose.Algorithm, at: datetime) -> jose.Key:
        """Return the key that signs by an algorithm: the youngest active one.

        Refused(UNAVAILABLE) when there is none.
        """
        for stored, key in self._keys.values():
            if (
                stored.algorithm == algorithm
                and stored.signs(at)
                and not self._is_revoked(stored.kid)
            ):
                return key
        raise unavailable(f"no active signing key of {algorithm}")

    def find(self, header: str) -> jose.Key | None:
        """Return the key with this token header, for verifying; None: unknown or removed."""
        found = self._by_header.get(header)
        if found is None or not self._lives(found[0], self._clock.now()):
            return None
        return found[1]

    def described(self) -> list[Described]:
        """Return the published keys that this worker knows, also those that do not open."""
        return [*self._published]

    def _lives(self, stored: Stored, at: datetime) -> bool:
        return stored.state(at) != "removed" and not self._is_revoked(stored.kid)

    async def _open(self, stored: Stored) -> jose.Key:
        if known := self._keys.get(stored.kid):
            return known[1]
        pem = self._seal.open(store.PURPOSE_KEY, stored.kid, stored.sealed)
        return await asyncio.to_thread(jose.Key, stored.algorithm, pem)

    def _may_be_ours(self, header: str) -> bool:
        """Whether a header has the form that we write, with a `kid` that was not killed."""
        try:
            told = jose.read_json(jose.decode(header), _Header)
        except ValueError:
            return False
        written = jose.encode(msgspec.json.encode(told))
        return (
            header == written and told.typ == jose.ACCESS_TOKEN and not self._is_revoked(told.kid)
        )

    def _place(self, stored: Stored, at: datetime) -> tuple[int, int, float]:
        """Return the sort key: by algorithm, then the active one first, then the youngest."""
        active = stored.state(at) == "active"
        return _ORDER[stored.algorithm], 0 if active else 1, -stored.activates_at.timestamp()
