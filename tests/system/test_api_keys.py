"""A thousand keys over two real workers: every verdict right, and nobody outlives a revocation."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from service.domain import apikeys
from service.domain.apikeys import KeyText
from service.embedded.process import worker_serving
from service.flows.apikeys.create import NewKey, create_key
from service.flows.apikeys.delete import delete_key
from service.flows.apikeys.issuing import IssuedKey
from service.flows.apikeys.revoke import revoke_key
from service.kernel.call import Call, Person
from service.kernel.ids import SessionId
from service.runtime import Runtime
from tests import given
from tests.clients import Machine, a_service
from tests.keys import exchange, use
from tests.processes import Running, service
from tests.system.visitors import UNLIMITED, inside, log_lines, one_connection_each, until

KEYS, CHECKS = 1_000, 10_000
LANES = 8


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """Two workers; afterwards their log is looked at."""
    async with service(workers=2, policy=UNLIMITED) as running:
        yield running
        assert log_lines(running)


@pytest.fixture(scope="module")
async def rt(running: Running) -> AsyncIterator[Runtime]:
    async with inside(running) as rt:
        yield rt


@dataclass
class World:
    """An organization's owner, and calls in their name."""

    rt: Runtime
    person: Person

    def call(self) -> Call:
        return Call(request_id=uuid4().hex, at=self.rt.clock.now(), actor=self.person)

    async def create(self, *scopes: str, seconds: float | None = None) -> IssuedKey:
        at = self.rt.clock.now()
        ends = None if seconds is None else at + timedelta(seconds=seconds)
        new = NewKey(name="a machine", scopes=scopes or ("agentes",), expires_at=ends)
        return await create_key(self.rt, self.call(), new)


async def a_world(rt: Runtime) -> World:
    made = await given.a_person(rt, role="owner", platform_admin=True)
    person = Person(
        user_id=made.user_id,
        tenant_id=made.tenant_id,
        session_id=SessionId(made.user_id),
        client_id="console",
        roles=("owner", "platform_admin"),
        scopes=("agentes", "proxy-ollama"),
        expires_at=rt.clock.now() + timedelta(hours=1),
    )
    return World(rt, person)


@pytest.fixture(scope="module")
async def world(rt: Runtime) -> World:
    return await a_world(rt)


async def test_ten_thousand_mixed_checks_of_a_thousand_keys_are_all_right(
    running: Running, rt: Runtime, world: World
) -> None:
    pace = asyncio.Semaphore(10)

    async def one(n: int) -> tuple[str, str | None]:
        """Return a key, and why it is not good."""
        async with pace:
            made = await world.create(seconds=0.2 if n % 10 == 3 else None)
            match n % 10:
                case 0:
                    await revoke_key(rt, world.call(), made.key.key_id)
                    return made.secret, "revoked"
                case 1:
                    await delete_key(rt, world.call(), made.key.key_id)
                    return made.secret, "unknown"
                case 3:
                    return made.secret, "expired"
                case _:
                    return made.secret, None

    made = await asyncio.gather(*(one(n) for n in range(KEYS)))
    questions = [(key, "agentes", why) for key, why in made]
    good = [key for key, why in made if why is None]
    for key in good[:150]:
        real = apikeys.read(key)
        assert real is not None
        forged = KeyText(real.public_id, apikeys.new_text().secret).written()
        questions += [(forged, "agentes", "unknown"), (key[:-1], "agentes", "unknown")]
        questions += [(key, "proxy-ollama", "scope"), (key.swapcase(), "agentes", "unknown")]
    random.seed(7)
    asked = [random.choice(questions) for _ in range(CHECKS)]
    async with httpx2.AsyncClient(base_url=running.url) as http:
        here = await a_service(rt, http, "api-keys:verify", organization="acme")
        wrong: Counter[tuple[str | None, str | None]] = Counter()
        began = time.monotonic()
        async with _lanes(running, here) as lanes:
            shares = [asked[n :: len(lanes)] for n in range(len(lanes))]

            async def drive(lane: "Lane", share: list[tuple[str, str, str | None]]) -> None:
                for key, scope, why in share:
                    told = await lane.verify(key, scope)
                    if told != (why is None, why):
                        wrong[(why, told[1])] += 1

            await asyncio.gather(*map(drive, lanes, shares))
        took = time.monotonic() - began
    assert not wrong
    print(f"{CHECKS / took:.0f} checks per second over two workers")  # noqa: T201


@pytest.mark.parametrize("way", ["revoke", "delete", "overlap"])
async def test_the_last_acceptance_anywhere_is_within_a_second(
    running: Running, rt: Runtime, world: World, way: str
) -> None:
    """Key and derived token, on both workers; the act on one of them, over HTTP."""
    owner = await given.a_person(rt, f"{way}@acme.example", role="owner", platform_admin=True)
    worst = float("-inf")
    async with one_connection_each(running) as workers, one_connection_each(running) as watchers:
        sent = {"email": owner.email, "password": owner.password}
        signed = (await workers[0].post("/auth/login", json=sent)).json()
        mine = {"authorization": f"Bearer {signed['access_token']}"}
        for n in range(3 if way == "overlap" else 10):
            body = {"name": "a machine", "scopes": ["revocations:read"]}
            made = (await workers[0].post("/api-keys", json=body, headers=mine)).json()
            token = (await exchange(workers[0], made["secret"])).json()["access_token"]
            for client in workers:
                assert await use(client, made["secret"]) == 200
                assert await use(client, token) == 200
            watched = [
                (client, bearer) for client in watchers for bearer in (made["secret"], token)
            ]
            accepted: dict[tuple[int, str], float] = {}
            watch = [
                asyncio.create_task(_watch(client, bearer, accepted)) for client, bearer in watched
            ]
            await until(lambda: len(accepted) == len(watched))  # noqa: B023 - awaited here
            actor = workers[n % 2]
            if way == "delete":
                path = f"/api-keys/{made['id']}"
                assert (await actor.delete(path, headers=mine)).status_code == 204
            elif way == "revoke":
                path = f"/api-keys/{made['id']}/revoke"
                assert (await actor.post(path, headers=mine)).status_code == 200
            else:
                path = f"/api-keys/{made['id']}/rotate"
                rotated = await actor.post(path, headers=mine, json={"overlap_seconds": 1})
                assert rotated.status_code == 201
                ends = time.monotonic() + 1.0
                while time.monotonic() < ends - 0.2:  # while it lasts, both keys work
                    for client in workers:
                        assert await use(client, made["secret"]) == 200
                        assert await use(client, rotated.json()["secret"]) == 200
            ended = time.monotonic() if way != "overlap" else ends
            await asyncio.gather(*watch)
            worst = max(worst, *(last - ended for last in accepted.values()))
    print(f"{way}: last accepted {worst:.4f} s after the end (worst)")  # noqa: T201
    assert worst < 1.0


async def test_a_normal_stop_loses_no_use() -> None:
    """What two workers counted since the background last wrote is in the database afterwards."""
    async with service(workers=2, policy=UNLIMITED) as running, inside(running) as rt:
        made = await (await a_world(rt)).create("revocations:read")
        before = rt.clock.now()
        async with one_connection_each(running) as workers:
            for _ in range(40):
                for client in workers:
                    assert await use(client, made.secret) == 200
        assert await running.stop() == 0
        async with rt.pg.reading() as tx:
            row = await tx.fetchrow("SELECT use_count, last_used_at FROM auth_api_keys")
    assert row is not None
    assert row["use_count"] == 80
    assert row["last_used_at"] >= before


async def test_no_secret_is_anywhere_but_in_the_answer_that_shows_it(
    running: Running, rt: Runtime, world: World
) -> None:
    made = await world.create("revocations:read")
    real = apikeys.read(made.secret)
    assert real is not None
    texts: list[str] = []
    async with one_connection_each(running) as workers:
        platform = await a_service(rt, workers[0], "api-keys:verify")
        for key in (made.secret, made.secret[:-1], made.secret + "0", made.secret.swapcase()):
            for client in workers:
                bearer = {"authorization": f"Bearer {key}"}
                for answer in (
                    await client.get(f"/revocations?access_token={key}"),
                    await client.get(f"/api-keys/{key}", headers=bearer),
                    await client.get("/auth/me", headers=bearer),
                    await client.post("/api-keys/verify", json={"key": key, "x": key}),
                    await client.post("/oauth/token", data={"grant_type": key, key: key}),
                    await exchange(client, key, subject_token_type=key),
                    await exchange(client, key),
                    await platform.post("/api-keys/verify", json={"key": key, "scope": key}),
                    await platform.ask("/oauth/introspect", token=key),
                ):
                    texts += [answer.text, str(answer.headers)]
    await asyncio.sleep(2.5)  # the background has written uses and failures
    async with rt.pg.autocommit() as tx:
        tables = await tx.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'auth%'"
        )
        for table in tables:
            rows = await tx.fetch(f"SELECT t::text AS row FROM {table['relname']} t")
            texts += [row["row"] for row in rows]
    assert await given.events(rt, "api_key.refused")
    texts.append(running.output())
    texts += _seen_from_outside(running)
    redis = rt.redis.client
    for name in await redis.keys("*"):
        texts.append(str(name))
    everything = "\n".join(texts).lower()
    assert made.key.public_id.lower() in everything  # it was looked at
    assert real.secret.lower() not in everything
    assert real.secret[:20].lower() not in everything
    assert real.secret[-20:].lower() not in everything


def _seen_from_outside(running: Running) -> list[str]:
    """Return what `ps` shows of the processes, with their environment."""
    return [
        Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")
        for pid in (running.pid, *running.workers())
        for what in ("cmdline", "environ")
    ]


async def _watch(
    client: httpx2.AsyncClient, bearer: str, accepted: dict[tuple[int, str], float]
) -> None:
    """Ask without a pause until it is refused for good; note when the last yes was asked for."""
    refused = 0
    while refused < 3:  # refused is refused: no second chance
        asked = time.monotonic()
        if await use(client, bearer) == 401:
            refused += 1
        else:
            assert not refused, "good again"
            accepted[id(client), bearer] = asked


class Lane:
    """One connection, and as little of a client as a check needs: the checks are what is timed."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
    ) -> None:
        self._reader = reader
        self.writer = writer
        self._token = token

    async def verify(self, key: str, scope: str) -> tuple[bool, str | None]:
        """Return whether a key is good, and why not."""
        body = json.dumps({"key": key, "scope": scope})
        self.writer.write(
            f"POST /api-keys/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
            f" {self._token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            f"\r\n\r\n{body}".encode()
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        told = json.loads(await self._reader.readexactly(length))
        assert head.startswith(b"http/1.1 200"), told
        return told["valid"], told.get("reason")


@asynccontextmanager
async def _lanes(running: Running, platform: Machine) -> AsyncIterator[list[Lane]]:
    """Yield connections, as many to each worker as the kernel gives it and at least two."""
    where = urlsplit(running.url)
    lanes: list[Lane] = []
    held: Counter[int] = Counter()
    while len(lanes) < LANES or len(held) < 2 or min(held.values()) < 2:
        assert len(lanes) < 100, "the kernel gives every connection to one worker"
        streams = await asyncio.open_connection(where.hostname, where.port)
        lanes.append(Lane(*streams, platform.token))
        await lanes[-1].verify("x", "agentes")
        port = streams[1].get_extra_info("sockname")[1]
        worker = worker_serving(running.url, running.workers(), port)
        assert worker is not None, "no worker holds this connection"
        held[worker] += 1
    try:
        yield lanes
    finally:
        for lane in lanes:
            lane.writer.close()
