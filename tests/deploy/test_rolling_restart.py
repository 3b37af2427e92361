"""Two instances behind deploy/nginx, restarted in turn under load: nobody who asks notices.

`TESSERRA_ROLLING=12000 ./dev test tests/deploy/test_rolling_restart.py -s` asks faster, and
at least so often.
"""

import asyncio
import json
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.embedded.process import Running, started
from tests.deploy.perimeter import DOMAIN, Perimeter, perimeter
from tests.deploy.programs import need
from tests.processes import service
from tests.servers import cloned_database, redis_database
from tests.system.visitors import UNLIMITED, Visitor, visitors

CLIENTS = 12
REQUESTS = int(os.environ.get("TESSERRA_ROLLING", "0"))
"""How often is asked at least; it goes on until every instance is back."""
PAUSE = 0.02 if REQUESTS else 0.1
GAPS = (1, 1, 12, 5, 1, 5, 12) if REQUESTS else (1, 1, 5)
"""Seconds before each restart, from when the one before it was ready again; one instance, then the
other, in turn."""


@dataclass
class Instance:
    """An instance that is stopped and started again, as systemd does it."""

    running: Running
    stack: AsyncExitStack
    logs: list[Path]

    async def restart(self) -> None:
        """Stop it, start it as soon as it is gone, and wait until it is ready."""
        assert await self.running.stop() == 0
        log = self.logs[0].with_name(f"log.{len(self.logs)}")
        again = started(self.running.environment, log, patience=90)
        self.running = await self.stack.enter_async_context(again)
        self.logs.append(log)

    def posts(self) -> Counter[str]:
        """Count by its id each POST it has answered."""
        lines = [json.loads(t) for log in self.logs for t in log.read_text().splitlines() if t]
        return Counter(
            line["request_id"] for line in lines if line.get("http.request.method") == "POST"
        )


@dataclass
class Client:
    """One connection that is kept, and a device of a person at the end of it."""

    edge: Perimeter
    device: Visitor
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, target: str, headers: str = "", body: str = "") -> int:
        """Ask, and read the whole answer; what it gives is kept."""
        reader, writer = await self._connected()
        if method == "POST":
            headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(
            f"{method} {target} HTTP/1.1\r\nHost: {DOMAIN}\r\n{headers}\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = [line.partition(": ") for line in head.split("\r\n")[1:-2]]
        length = next(int(v) for k, _, v in fields if k.lower() == "content-length")
        content = await reader.readexactly(length)
        for name, _, value in fields:
            if name.lower() == "set-cookie" and value.startswith("__Host-refresh="):
                self.device.refresh_token = value.partition("=")[2].partition(";")[0]
                self.device.access_token = json.loads(content)["access_token"]
            if name.lower() == "connection" and value == "close":
                writer.close()
                self.writer = None
        return int(head.split(" ")[1])

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.writer is None or self.reader is None:
            context = ssl.create_default_context(cafile=self.edge.authority)
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.edge.proxied)
            here = f"PROXY TCP4 {self.device.address} 127.0.0.1 40000 443\r\n"
            self.writer.write(here.encode())
            await self.writer.start_tls(context, server_hostname=DOMAIN)
        return self.reader, self.writer

    async def turn(self) -> AsyncIterator[tuple[str, int]]:
        """Ask a little of everything, and yield what came of each."""
        bearer = f"Authorization: Bearer {self.device.access_token}\r\n"
        key = json.dumps({"name": f"k{time.monotonic_ns()}", "scopes": ["agentes"]})
        cookie = f"Cookie: __Host-refresh={self.device.refresh_token}\r\n"
        yield "GET", await self.ask("GET", "/auth/me", bearer)
        yield "POST created", await self.ask("POST", "/api-keys", bearer, key)
        yield "GET", await self.ask("GET", "/.well-known/jwks.json")
        yield "POST", await self.ask("POST", "/auth/refresh", cookie, "{}")


@asynccontextmanager
async def two_instances() -> AsyncIterator[list[Instance]]:
    """Yield two instances of one deployment."""
    more = {"AUTH_ISSUER": f"https://{DOMAIN}", "AUTH_TRUSTED_PROXIES": "127.0.0.1/32"}
    async with AsyncExitStack() as stack:
        database = stack.enter_context(cloned_database())
        redis = stack.enter_context(redis_database())
        both = []
        for _ in range(2):
            made = service(policy=UNLIMITED, env=more, database_url=database, redis_url=redis)
            running = await stack.enter_async_context(made)
            both.append(Instance(running, stack, [running.log]))
        yield both


async def test_a_rolling_restart_loses_no_request_and_does_none_twice() -> None:
    need("nginx")
    async with two_instances() as both:
        where = [one.running.environment["AUTH_BIND"] for one in both]
        async with perimeter(*where) as edge, visitors(both[0].running, CLIENTS) as devices:
            seen: Counter[str] = Counter()
            restarted = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for device in devices:
                    group.create_task(_keep_asking(Client(edge, device), seen, restarted))
                for n, gap in enumerate(GAPS):
                    await asyncio.sleep(gap)
                    await both[n % 2].restart()
                await asyncio.sleep(GAPS[0])
                restarted.set()
        print(seen.total(), "requests:", dict(seen))  # noqa: T201
        assert set(seen) == {"GET 200", "POST 200", "POST created 201"}, seen
        posts = both[0].posts() + both[1].posts()
        assert posts.total() >= seen["POST 200"] + seen["POST created 201"]
        assert set(posts.values()) == {1}


async def _keep_asking(client: Client, seen: Counter[str], restarted: asyncio.Event) -> None:
    while not restarted.is_set() or seen.total() < REQUESTS:
        try:
            async for kind, status in client.turn():
                seen[f"{kind} {status}"] += 1
                await asyncio.sleep(PAUSE)
        except (OSError, asyncio.IncompleteReadError, StopIteration) as exc:
            client.writer = None
            seen[type(exc).__name__] += 1
