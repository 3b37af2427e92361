"""People who use a running service over real connections, and which of its workers serves whom."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie

import httpx2

from service import settings as deployment
from service.embedded.process import worker_serving
from service.kernel.log import FIELDS
from service.runtime import Runtime, open_runtime
from tests import given
from tests.given import Given
from tests.processes import Running

UNLIMITED = "".join(
    f"[limits.{bucket}]\ncount = 1000000\nwindow = 60\n"
    for bucket in ("login", "me", "create", "refresh")
)
"""A policy file whose limits do not get in the way."""


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: reading the system's certificates once per client would take most of the time."""


@asynccontextmanager
async def inside(running: Running) -> AsyncIterator[Runtime]:
    """Open a runtime of our own on the service's databases, to make the world and to look at it."""
    settings = deployment.load(running.environment)
    async with open_runtime(settings, follow=False) as rt:
        yield rt


@dataclass
class Visitor:
    """One device of a person: one connection, a refresh cookie and an access token.

    `address` is what nginx would say of them (the service must trust 127.0.0.1).
    """

    url: str
    person: Given
    address: str = "192.0.2.1"
    refresh_token: str = ""
    access_token: str = ""
    client: httpx2.AsyncClient = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.client = self.client or connection(self.url)

    async def sign_in(self, password: str | None = None) -> httpx2.Response:
        """Sign in; what is given is kept."""
        given = {"email": self.person.email, "password": password or self.person.password}
        answer = await self.client.post("/auth/login", json=given, headers=self._headers())
        return self._kept(answer)

    async def refresh(self, token: str | None = None) -> httpx2.Response:
        """Refresh with the token at hand, or with another; what is given is kept."""
        headers = self._headers() | {"cookie": f"__Host-refresh={token or self.refresh_token}"}
        return self._kept(await self.client.post("/auth/refresh", json={}, headers=headers))

    async def sign_out(self) -> httpx2.Response:
        """Sign out by cookie; what is at hand stays at hand."""
        headers = self._headers() | {"cookie": f"__Host-refresh={self.refresh_token}"}
        return await self.client.post("/auth/logout", json={}, headers=headers)

    async def me(self) -> httpx2.Response:
        """Ask who one is."""
        headers = self._headers() | {"authorization": f"Bearer {self.access_token}"}
        return await self.client.get("/auth/me", headers=headers)

    def on(self, client: httpx2.AsyncClient) -> "Visitor":
        """Return the same device on another connection."""
        twin = Visitor(self.url, self.person, self.address, self.refresh_token, self.access_token)
        twin.client = client
        return twin

    def _headers(self) -> dict[str, str]:
        return {"x-forwarded-for": self.address}

    def _kept(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code == httpx2.codes.OK:
            self.access_token = answer.json()["access_token"]
            self.refresh_token = cookie(answer)
        return answer


def connection(url: str) -> httpx2.AsyncClient:
    """Return a client that keeps to one connection."""
    return httpx2.AsyncClient(
        base_url=url,
        timeout=30,
        verify=_NO_TLS,
        headers={"user-agent": "tests"},
        limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
    )


def cookie(answer: httpx2.Response) -> str:
    """Return the refresh token an answer sets (a jar would not send it over plain HTTP)."""
    jar: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        jar.load(header)
    return str(jar["__Host-refresh"].value)


@asynccontextmanager
async def visitors(
    running: Running, count: int, *, people: int = 1
) -> AsyncIterator[list[Visitor]]:
    """Yield devices of some new people, all signed in, each with an address of its own."""
    async with inside(running) as rt:
        new = [
            await given.a_person(rt, f"v{time.monotonic_ns()}@acme.example") for _ in range(people)
        ]
    devices = [Visitor(running.url, new[n % people], f"198.51.100.{n + 1}") for n in range(count)]
    try:
        for device in devices:
            answer = await device.sign_in()
            assert answer.status_code == httpx2.codes.OK, answer.text
        yield devices
    finally:
        for device in devices:
            await device.client.aclose()


@asynccontextmanager
async def one_connection_each(running: Running) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Yield one connection to each worker."""
    found: dict[int, httpx2.AsyncClient] = {}
    opened: list[httpx2.AsyncClient] = []
    try:
        while len(found) < len(running.workers()):
            assert len(opened) < 100, "the kernel gives every connection to one worker"
            client = connection(running.url)
            opened.append(client)
            found.setdefault(await worker_of(client, running), client)
        yield list(found.values())
    finally:
        for client in opened:
            await client.aclose()


async def worker_of(client: httpx2.AsyncClient, running: Running) -> int:
    """Return the process that serves a client's connection, as the kernel tells it."""
    answer = await client.get("/healthz")
    port = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    held_by = worker_serving(running.url, running.workers(), port)
    assert held_by is not None, "no worker holds this connection"
    return held_by


async def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return once it is so; AssertionError when the time is up."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


def log_lines(running: Running) -> list[dict[str, object]]:
    """Return the log; every line must be one JSON object with known keys in their order."""
    lines = []
    for text in running.output().splitlines():
        line = json.loads(text)
        assert list(line) == [key for key in FIELDS if key in line], text
        lines.append(line)
    return lines
