"""An issuer of a few lines that speaks the service's contract and does as a test tells it.

For what the real service cannot be asked to do: rotate at once, lie, forget its table, step its
clock.  What it can do is tested against it, in test_against_the_service.py.
"""

import asyncio
import json
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import httpx2

from service.kernel.jose import Algorithm, Key, encode, generate

ISSUER = "https://issuer.test"
AUDIENCE = "https://orders.test"


class StandIn:
    """An ASGI application: JWKS, token endpoint, introspection, feed."""

    def __init__(self, algorithm: Algorithm = "ES256") -> None:
        self.keys = [Key(algorithm, generate(algorithm))]
        self.extra_jwks: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.down: set[str] = set()
        """Paths that answer 503; "*" for all."""
        self.mute: set[str] = set()
        """Paths that never answer."""
        self.asked: list[str] = []
        self.clock_ahead = 0.0
        self.proxy_ahead = 0.0
        """By how much the clock that writes `Date` differs from its own."""
        self.epoch: str | None = "the first"
        """None: it is older than epochs, and tells no time either."""
        self.tenant_id: str | None = None
        self.active = True
        self.override: dict[str, Any] | None = None
        """A page the feed answers instead of the true one."""
        self._seq = 0
        self._news = asyncio.Event()

    def client(self) -> httpx2.AsyncClient:
        """Return an HTTP client that is connected to it."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self))

    def now(self) -> float:
        """Return the time it believes it is."""
        return time.time() + self.clock_ahead

    def payload(self, **claims: Any) -> dict[str, Any]:
        """Return good claims, with some changed, or left out when given as None."""
        now = int(self.now())
        good = {
            "iss": ISSUER,
            "sub": str(uuid4()),
            "aud": AUDIENCE,
            "exp": now + 900,
            "iat": now,
            "jti": str(uuid4()),
            "client_id": "console",
            "sid": str(uuid4()),
            "tenant_id": str(uuid4()),
            "scope": "agentes proxy-ollama",
            "roles": ["member"],
            "amr": ["pwd"],
        }
        return {name: value for name, value in (good | claims).items() if value is not None}

    def token(self, key: Key | None = None, **claims: Any) -> str:
        """Sign a token."""
        return (key or self.keys[0]).sign(json.dumps(self.payload(**claims)).encode())

    def revoke(
        self,
        kind: str,
        value: str,
        *,
        cutoff: float | None = None,
        lasts: float = 900,
        tenant_id: str | None = None,
    ) -> None:
        """Add an entry to the feed."""
        self._seq += 1
        self.entries.append(
            {
                "seq": self._seq,
                "kind": kind,
                "value": value,
                "tenant_id": tenant_id,
                "cutoff": None if cutoff is None else _rfc3339(cutoff),
                "revoked_at": _rfc3339(self.now()),
                "expires_at": _rfc3339(self.now() + lasts),
            }
        )
        news, self._news = self._news, asyncio.Event()
        news.set()

    def forget(self) -> None:
        """Lose every entry, and count from one again: a table restored from before them."""
        self.entries = []
        self._seq = 0
        self.epoch = self.epoch and str(uuid4())

    def rotate(self) -> Key:
        """Sign with a new key from now on."""
        self.keys.insert(0, Key(self.keys[0].algorithm, generate(self.keys[0].algorithm)))
        return self.keys[0]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.asked.append(path)
        body = (await receive()).get("body", b"")
        if path in self.mute:
            await asyncio.Event().wait()
        status, told = 503, {"title": "not now"}
        if not self.down & {path, "*"}:
            status, told = await self._answer(path, scope, body.decode())
        if path in self.mute:
            await asyncio.Event().wait()
        headers = [
            (b"content-type", b"application/json"),
            (b"date", formatdate(self.now() + self.proxy_ahead, usegmt=True).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    async def _answer(self, path: str, scope: Any, body: str) -> tuple[int, dict[str, Any]]:
        match path:
            case "/.well-known/jwks.json":
                return 200, {"keys": [*(key.jwk for key in self.keys), *self.extra_jwks]}
            case "/oauth/token":
                own = self.token(scope="revocations:read", tenant_id=self.tenant_id)
                return 200, {"access_token": own, "expires_in": 900, "token_type": "Bearer"}
            case "/oauth/introspect":
                return 200, {"active": self.active}
            case "/revocations":
                query = parse_qs(scope["query_string"].decode())
                after = int(query["after"][0]) if "after" in query else None
                return await self._page(after, float(query["wait"][0]), int(query["limit"][0]))
        return 404, {"title": "no such path"}

    async def _page(self, after: int | None, wait: float, limit: int) -> tuple[int, dict[str, Any]]:
        if self.override is not None:
            return 200, self.override
        head = self.entries[-1]["seq"] if self.entries else 0
        if after is not None and after > head:
            return 400, {
                "type": "urn:tesserra:refusal:invalid_request",
                "fields": ["after"],
            }
        if after == head:
            try:
                await asyncio.wait_for(self._news.wait(), wait)
            except TimeoutError:
                return 200, self._told([], head, has_more=False)
        found = [entry for entry in self.entries if entry["seq"] > (after or 0)]
        page = found[:limit]
        reached = page[-1]["seq"] if page else head
        return 200, self._told(page, reached, has_more=len(found) > limit)

    def _told(
        self, entries: list[dict[str, Any]], reached: int, *, has_more: bool
    ) -> dict[str, Any]:
        page = {"entries": entries, "next": reached, "has_more": has_more}
        since = {"epoch": self.epoch, "now": _rfc3339(self.now())}
        return page if self.epoch is None else page | since


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def forged(header: dict[str, Any] | str, payload: dict[str, Any] | str, signer: Key) -> str:
    """Sign a token whose header and payload are anything, with a key of any algorithm."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    signed = ".".join(encode(text.encode()) for text in texts)
    return f"{signed}.{encode(signer._signature(signed.encode()))}"
