"""Ways to ask the application: as a browser would, and byte by byte as nobody should."""

import asyncio
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import httpx2
from msgspec import json

from service.http.edge import Edge
from tests.given import Given

_PATIENCE = 15
REFRESH = "__Host-refresh"
DEVICE = "__Host-device"
JSON = {"content-type": "application/json"}

DEFENSIVE = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""What every response carries (issue 2, item 6)."""


async def sign_in(
    client: httpx2.AsyncClient, person: Given, password: str | None = None, **more: Any
) -> httpx2.Response:
    """Sign in; the cookies stay in the client's jar."""
    body = {"email": person.email, "password": password or person.password, **more}
    return await client.post("/auth/login", json=body)


async def renew(client: httpx2.AsyncClient, token: str | None = None) -> httpx2.Response:
    """Refresh with the jar's cookie, or with a token given."""
    headers = {"cookie": f"{REFRESH}={token}"} if token else {}
    return await client.post("/auth/refresh", json={}, headers=headers)


def bearer(answer: httpx2.Response) -> dict[str, str]:
    """Return the header that carries an answer's access token."""
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def me(client: httpx2.AsyncClient, answer: httpx2.Response) -> int:
    """Return the status `/auth/me` has for an answer's access token."""
    return (await client.get("/auth/me", headers=bearer(answer))).status_code


def set_cookies(answer: httpx2.Response) -> dict[str, str]:
    """Return the Set-Cookie lines of an answer by the cookie's name."""
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}


def cookie(answer: httpx2.Response, name: str = REFRESH) -> str:
    """Return the value an answer sets."""
    return SimpleCookie(set_cookies(answer)[name])[name].value


def max_age(answer: httpx2.Response, name: str = REFRESH) -> int:
    """Return the Max-Age an answer sets, in seconds."""
    return int(SimpleCookie(set_cookies(answer)[name])[name]["max-age"])


@dataclass(frozen=True)
class Answer:
    """What an application sent for a raw request."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return the first header of a name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def problem(self) -> dict[str, Any]:
        """Return the problem document."""
        assert self.header(b"content-type") == b"application/problem+json"
        told: dict[str, Any] = json.decode(self.body)
        return told


async def raw(
    app: Edge,
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]] | None = None,
    body: bytes = b"",
    *,
    raw_path: bytes | None = None,
    query: bytes = b"",
    peer: str | None = "127.0.0.1",
) -> Answer:
    """Ask with exactly these bytes, and a `Host` unless one is given; no client tidies them up."""
    fields = headers or []
    if all(name != b"host" for name, _ in fields):
        fields = [(b"host", b"auth.test"), *fields]
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(errors="surrogatepass") if raw_path is None else raw_path,
        "root_path": "",
        "query_string": query,
        "headers": fields,
        "client": None if peer is None else (peer, 40_000),
        "server": ("auth.test", 443),
        "state": {},
        "extensions": {},
    }
    sent: list[Any] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        async with asyncio.timeout(_PATIENCE):
            await app(scope, receive, send)
    except TimeoutError:
        raise AssertionError(f"no answer to {method} {path!r} {headers}") from None
    assert sent, "no answer at all"
    return Answer(
        sent[0]["status"], list(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])
    )
