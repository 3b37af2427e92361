"""The verifier: keeps keys and revocations current, and checks tokens from memory."""

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

import httpx2

from tesserra_verifier import apikeys, compact
from tesserra_verifier import claims as claims_
from tesserra_verifier.apikeys import KeyClaims, Verdicts
from tesserra_verifier.claims import Claims
from tesserra_verifier.clock import ServiceClock
from tesserra_verifier.errors import (
    InsufficientScopeError,
    InvalidKeyError,
    InvalidTokenError,
    UnavailableError,
)
from tesserra_verifier.feed import Feed
from tesserra_verifier.keys import Keys
from tesserra_verifier.remote import TIMEOUT, Entry, Remote, RemoteError

Rule: TypeAlias = Literal["refuse", "introspect", "accept"]
"""What to do with a good token while the known revocations are too old."""

LEEWAY = 10
"""How many seconds clocks may differ."""

_ALGORITHMS = ("ES256", "RS256", "EdDSA")
_LONGEST_WAIT = 20
_WAIT_SHARE = 0.4
_LONGEST_PAGE = 5_000
_LEAST_BOUND = 2.0
_INTROSPECTIONS = 32
_KEY_CHECKS = 32
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

log = logging.getLogger("tesserra_verifier")


class Verifier:
    """Checks access tokens of one issuer for one audience, revoked ones included.

    An async context manager: inside it, two background tasks keep the keys and the revocations
    current.  Entering waits up to `patience` seconds for the first load and then goes on whatever
    came of it.  Leave it in the event loop it was entered in; one per process.

    Args:
        issuer: as in the tokens' `iss`, byte for byte; https, or http on loopback.
        audience: what must be in `aud`: your own name.
        client_id: of a client that has the scope `revocations:read`, and `api-keys:verify` if
            `verify_key` is used.  If it belongs to an
            organization, only that organization's tokens are accepted: of others it is not told
            what is revoked.
        client_secret: of that client.
        when_stale: what becomes of good tokens once `staleness` exceeds `max_staleness`.
        max_staleness: that bound, in seconds, at least 2.
        algorithms: signature algorithms that are accepted, of ES256, RS256 and EdDSA.
        base_url: where to reach the issuer if not at `issuer`.
        http: an HTTP client of yours, with its proxies and certificates; it is left open.
        patience: seconds that entering waits for the first load.
        cache_size: how many verified tokens are remembered, and how many keys.
        page: entries asked for at a time, at most 5,000.
        keys_interval: seconds between two refreshes of the keys.
        keys_cooldown: least seconds between two refreshes for the sake of an unknown `kid`.
    """

    def __init__(  # noqa: PLR0913 - each has a default but the first four
        self,
        issuer: str,
        audience: str,
        client_id: str,
        client_secret: str,
        *,
        when_stale: Rule = "refuse",
        max_staleness: float = 5.0,
        algorithms: tuple[str, ...] = _ALGORITHMS,
        base_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
        patience: float = 5.0,
        cache_size: int = 10_000,
        page: int = 5_000,
        keys_interval: float = 300.0,
        keys_cooldown: float = 5.0,
    ) -> None:
        if when_stale not in {"refuse", "introspect", "accept"}:
            raise ValueError("when_stale is refuse, introspect or accept")
        if not _LEAST_BOUND <= max_staleness < float("inf"):
            raise ValueError(f"max_staleness is a bound of at least {_LEAST_BOUND:.0f} seconds")
        if not 1 <= page <= _LONGEST_PAGE:
            raise ValueError(f"page is at least 1 and at most {_LONGEST_PAGE}")
        if not algorithms or not set(algorithms) <= set(_ALGORITHMS):
            raise ValueError(f"algorithms are of {', '.join(_ALGORITHMS)}")
        url = urlsplit(issuer)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError("issuer is an https URL (or http on loopback)")
        self._issuer = issuer
        self._audience = audience
        self._credentials = (client_id, client_secret)
        self._rule: Rule = when_stale
        self._bound = max_staleness
        self._algorithms = frozenset(algorithms)
        self._base_url = (base_url or issuer).rstrip("/")
        self._given_http = http
        self._patience = patience
        self._cache_size = cache_size
        self._page = page
        self._keys_times = (keys_interval, keys_cooldown)
        self._clock = ServiceClock()
        self._open: contextlib.AsyncExitStack | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._introspections = asyncio.Semaphore(_INTROSPECTIONS)
        self._key_checks = asyncio.Semaphore(_KEY_CHECKS)
        self._verified: dict[bytes, Claims] = {}
        self._verified_version = 0
        self._remote: Remote
        self._keys: Keys
        self._feed: Feed
        self._verdicts = Verdicts(cache_size)

    def __repr__(self) -> str:
        return f"Verifier({self._issuer!r}, {self._audience!r})"

    @property
    def is_open(self) -> bool:
        """Whether it was entered."""
        return self._open is not None

    @property
    def staleness(self) -> float:
        """Seconds since the known revocations were certainly complete; inf before a load."""
        return self._feed.staleness() if self.is_open else float("inf")

    @property
    def entries(self) -> int:
        """How many revocations are known."""
        return len(self._feed.revoked) if self.is_open else 0

    async def __aenter__(self) -> Self:
        """Start the background tasks.  RuntimeError when they run already."""
        if self._open is not None:
            raise RuntimeError("this verifier is open")
        self._open = contextlib.AsyncExitStack()
        http = self._given_http
        if http is None:
            http = await self._open.enter_async_context(httpx2.AsyncClient())
        self._remote = Remote(self._base_url, *self._credentials, http)
        self._keys = Keys(self._remote, *self._keys_times)
        self._feed = Feed(
            self._remote,
            self._clock,
            wait=max(1, min(_LONGEST_WAIT, int(self._bound * _WAIT_SHARE))),
            page=self._page,
            leeway=LEEWAY,
            heard=self._heard,
        )
        self._start("keys", self._keys.follow)
        self._start("revocations", self._feed.follow)
        try:
            await self.ready(self._patience)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the background tasks and forget everything."""
        stack, self._open = self._open, None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._verified.clear()
        self._verdicts = Verdicts(self._cache_size)
        if stack is not None:
            await stack.aclose()

    async def ready(self, seconds: float) -> bool:
        """Wait up to `seconds` until keys and revocations are loaded; return whether they are."""
        try:
            async with asyncio.timeout(seconds):
                await self._keys.loaded.wait()
                await self._feed.loaded.wait()
        except TimeoutError:
            return False
        return True

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token that is genuine, in time and not revoked.

        From memory, but for two cases that ask the service: a `kid` that is not known, and the
        rule `introspect` while stale.

        InvalidTokenError when it is not such a token; UnavailableError when that cannot be told;
        RuntimeError when the verifier was not entered.
        """
        if self._open is None:
            raise RuntimeError("enter the verifier before use: async with Verifier(...)")
        if len(token) > compact.LONGEST or not token.isascii():
            raise InvalidTokenError("malformed")
        if self._verified_version != self._keys.version:
            self._verified.clear()  # a key may be gone
            self._verified_version = self._keys.version
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = await self._examine(token)
        self._check_times(claims)
        self._verified[digest] = claims
        if len(self._verified) > self._cache_size:
            del self._verified[next(iter(self._verified))]
        if self._remote.tenant_id is not None and claims.tenant_id not in {
            None,
            self._remote.tenant_id,
        }:
            # the feed does not tell this client of revocations in other organizations
            raise InvalidTokenError("claims", "tenant_id")
        revoked_by = self._feed.revoked.find(claims)
        if revoked_by is not None:
            raise InvalidTokenError("revoked", revoked_by)
        if not self._is_fresh():
            await self._when_stale(token)
        return claims

    async def verify_key(
        self, key: str, *, scope: str | None = None, address: str | None = None
    ) -> KeyClaims:
        """Check an API key, for a scope and from an IP address where these are given.

        The first time the service is asked; what it said is then remembered for five minutes at
        most, while the revocations at hand are fresh and tell of nothing that may have ended it.

        InvalidKeyError, InsufficientScopeError; UnavailableError when nobody can say; ValueError
        for an address that is none.
        """
        if self._open is None:
            raise RuntimeError("enter the verifier before use: async with Verifier(...)")
        if address is not None:
            ipaddress.ip_address(address)
        if not apikeys.is_written(key):
            raise InvalidKeyError("malformed")
        one = apikeys.digest(key, scope, address)
        claims = self._verdicts.find(one)
        if not self._is_fresh():
            if self._rule == "introspect":
                claims = None
            elif self._rule == "refuse" or claims is None:
                raise UnavailableError(f"revocations are {self.staleness:.1f} s old")
        if claims is None:
            claims = await self._ask_for(one, key, scope, address)
        if self._feed.revoked.names("akid", claims.key_id):
            self._verdicts.forget(one)
            raise InvalidKeyError("revoked")
        if claims.expires_at is not None and self._clock.now() >= claims.expires_at:
            self._verdicts.forget(one)
            raise InvalidKeyError("expired")
        return claims

    async def _ask_for(
        self, one: bytes, key: str, scope: str | None, address: str | None
    ) -> KeyClaims:
        async with _asking(self._key_checks):
            claims = self._verdicts.find(one)
            if claims is not None and self._is_fresh():  # somebody asked while this one waited
                return claims
            asked, told = await self._remote.api_key(key, scope, address)
            verdict = apikeys.read(told)
        if isinstance(verdict, KeyClaims):
            if self._is_fresh():
                self._verdicts.put(one, verdict, asked)
            return verdict
        if verdict == "scope" and scope is not None:
            raise InsufficientScopeError(scope)
        raise InvalidKeyError(verdict)

    def _is_fresh(self) -> bool:
        return self._feed.staleness() <= self._bound

    def _heard(self, entry: Entry) -> None:
        if entry.kind == "kid":
            self._keys.hurry()
        self._verdicts.heard(entry.kind, entry.value, entry.tenant_id)

    async def _examine(self, token: str) -> Claims:
        """Check what never changes about a token: its form, signature, issuer and audience."""
        written = compact.read(token)
        if written.algorithm not in self._algorithms:
            raise InvalidTokenError("malformed", "header")
        key = await self._keys.obtain(written.kid)
        if key is None or key.algorithm != written.algorithm:
            raise InvalidTokenError("unknown key")
        if not key.verifies(written.signed, written.signature):
            raise InvalidTokenError("signature")
        return claims_.read(written.payload(), written.kid, self._issuer, self._audience)

    def _check_times(self, claims: Claims) -> None:
        now = self._clock.now()
        if now >= claims.exp + LEEWAY:
            raise InvalidTokenError("expired")
        if now < max(claims.iat, claims.nbf or 0) - LEEWAY:
            raise InvalidTokenError("not yet valid")

    async def _when_stale(self, token: str) -> None:
        if self._rule == "introspect":
            async with _asking(self._introspections):
                active = await self._remote.introspect(token)
            if not active:
                raise InvalidTokenError("revoked", "introspection")
            return
        if self._rule == "accept" and self._feed.loaded.is_set():
            return
        raise UnavailableError(f"revocations are {self.staleness:.1f} s old")

    def _start(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` repeatedly while this verifier is open, also after a failure."""
        task = asyncio.create_task(_repeat(name, step), name=f"tesserra verifier: {name}")
        self._tasks[name] = task

        def ended(_: asyncio.Task[None]) -> None:
            if self._open is not None and not task.get_loop().is_closed():
                self._start(name, step)

        task.add_done_callback(ended)


@contextlib.asynccontextmanager
async def _asking(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for a turn to ask the service.  UnavailableError when turn or answer takes too long."""
    try:
        async with asyncio.timeout(TIMEOUT), turns:
            yield
    except TimeoutError:
        raise UnavailableError("the service does not say: no answer in time") from None
    except RemoteError as exc:
        raise UnavailableError(f"the service does not say: {exc}") from exc


async def _repeat(name: str, step: Callable[[], Awaitable[None]]) -> None:
    failures = 0
    while True:
        try:
            await step()
        except Exception as exc:  # noqa: BLE001 - the loop outlives every fault
            if failures == 0:
                log.warning("%s: not followed: %s", name, exc)
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
            failures = min(failures + 1, 10)
            await asyncio.sleep(max(pause, getattr(exc, "retry_after", 0.0)))
        else:
            if failures:
                log.info("%s: followed again", name)
            failures = 0
