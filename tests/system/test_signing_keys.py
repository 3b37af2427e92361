"""Signing keys change under load, over two workers and what verifies elsewhere: nobody notices.

And a key is killed under load: everybody notices, within a second.
"""

import asyncio
import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from authlib.integrations.base_client.sync_app import OAuth2Mixin
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import OAuth2Session
from tesserra_verifier import InvalidTokenError, UnavailableError, Verifier

from service.runtime import Runtime
from tests import given
from tests.processes import Running, service
from tests.servers import cloned_database, redis_database
from tests.system.visitors import UNLIMITED, Visitor, inside, one_connection_each, visitors
from tests.world import ISSUER

PROXY = {"AUTH_TRUSTED_PROXIES": "127.0.0.1/32"}
RING_IS_READ = 6
"""Seconds in which every worker has read the ring anew."""

Check = Callable[[str], Awaitable[bool]]
"""Whether a token is accepted somewhere."""


@dataclass
class World:
    """Two workers, a way into their database, and everywhere a token can be shown."""

    running: Running
    rt: Runtime
    workers: list[httpx2.AsyncClient]
    devices: list[Visitor]
    checks: dict[str, Check] = field(default_factory=dict)

    async def published(self, worker: httpx2.AsyncClient) -> list[str]:
        """Return the kids in the JWKS of one worker."""
        answer = await worker.get("/.well-known/jwks.json")
        return [key["kid"] for key in answer.json()["keys"]]

    async def all_publish(self, wanted: Callable[[list[str]], bool]) -> None:
        """Wait until the JWKS of every worker is as wanted."""
        async with asyncio.timeout(30):
            for worker in self.workers:
                while not wanted(await self.published(worker)):
                    await asyncio.sleep(0.05)

    async def move(self, change: str, *given: object) -> None:
        """Let time pass, by moving the times of the keys."""
        async with self.rt.pg.autocommit() as tx:
            await tx.execute(f"UPDATE auth_signing_keys SET {change}", *given)


class AccessClaims(dict[str, Any]):
    """What Authlib's client makes of a token: as its own claims, without the rules of id_tokens."""

    def __init__(self, claims: dict[str, Any], *_: object) -> None:
        super().__init__(claims)

    def validate(self, leeway: int) -> None:
        if self["exp"] + leeway < time.time():
            raise ValueError("expired")


class AuthlibClient(OAuth2Mixin, OpenIDMixin):  # type: ignore[misc]
    """Authlib's client as its integrations put it together; it keeps the JWKS by itself."""

    client_cls = OAuth2Session


def kid(token: str) -> str:
    found: str = jwt.get_unverified_header(token)["kid"]
    return found


class PyJwtTime:
    """The time PyJWT lives by, which an hour can be added to as the keys' own times are moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        for module in (jwt.jwks_client, jwt.jwk_set_cache, jwt.api_jwk):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


def by_pyjwt(running: Running) -> Check:
    keys = jwt.PyJWKClient(f"{running.url}/.well-known/jwks.json")
    issuer = running.environment["AUTH_ISSUER"]

    def decode(token: str) -> bool:
        try:
            key = keys.get_signing_key_from_jwt(token)
            jwt.decode(token, key, algorithms=["ES256"], audience=issuer, issuer=issuer)
        except jwt.PyJWTError:
            return False
        return True

    async def check(token: str) -> bool:
        return await asyncio.to_thread(decode, token)

    return check


def by_authlib(running: Running) -> Check:
    issuer = running.environment["AUTH_ISSUER"]
    client = AuthlibClient(
        None,
        "tesserra",
        client_id="orders",
        client_secret="not used",
        server_metadata_url=f"{issuer}/.well-known/oauth-authorization-server",
    )
    one_at_a_time = threading.Lock()

    def decode(token: str) -> bool:
        with one_at_a_time:
            try:
                client.parse_id_token({"id_token": token}, nonce=None, claims_cls=AccessClaims)
            except Exception:  # noqa: BLE001 - whatever a library says of a token it refuses
                return False
            return True

    async def check(token: str) -> bool:
        return await asyncio.to_thread(decode, token)

    return check


def by_verifier(verifier: Verifier) -> Check:
    async def check(token: str) -> bool:
        try:
            await verifier.verify(token)
        except (InvalidTokenError, UnavailableError):
            return False
        return True

    return check


def by_worker(worker: httpx2.AsyncClient) -> Check:
    async def check(token: str) -> bool:
        answer = await worker.get("/auth/me", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == httpx2.codes.OK

    return check


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(service(workers=2, policy=UNLIMITED, env=PROXY))
        rt = await stack.enter_async_context(inside(running))
        workers = await stack.enter_async_context(one_connection_each(running))
        asking = await stack.enter_async_context(one_connection_each(running))
        devices = await stack.enter_async_context(visitors(running, 4))
        scope = "revocations:read"
        made = await asyncio.to_thread(
            running.cli, "client", "create", "--name", "orders", "--scope", scope, "--json"
        )
        client = json.loads(made.stdout)
        issuer = running.environment["AUTH_ISSUER"]
        world = World(running, rt, workers, devices)
        for n in (1, 2):
            verifier = Verifier(
                issuer,
                issuer,
                client["client_id"],
                client["client_secret"],
                base_url=running.url,
                max_staleness=5,
            )
            await stack.enter_async_context(verifier)
            world.checks[f"verifier {n}"] = by_verifier(verifier)
        for n, worker in enumerate(asking, 1):
            world.checks[f"worker {n}"] = by_worker(worker)
        world.checks["PyJWT"] = by_pyjwt(running)
        world.checks["Authlib"] = by_authlib(running)
        yield world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


@dataclass
class Seen:
    """What happened under a load of refreshes."""

    signed: list[tuple[float, str, int]] = field(default_factory=list)
    """(when, kid, worker) of every token that was issued."""
    answers: Counter[int] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By where, and by which key the token was signed."""
    accepted: Counter[str] = field(default_factory=Counter)

    def workers_signing(self, by: str) -> set[int]:
        return {worker for _, signer, worker in self.signed if signer == by}


@asynccontextmanager
async def load(world: World, *, everywhere: bool) -> AsyncIterator[Seen]:
    """Refresh without a pause, on each worker in turn; show each token everywhere, if asked to."""
    seen = Seen()
    ended = asyncio.Event()

    async def keep(device: Visitor, number: int) -> None:
        twin = device.on(world.workers[number])
        while not ended.is_set():
            answer = await twin.refresh()
            seen.answers[answer.status_code] += 1
            if answer.status_code != httpx2.codes.OK:
                continue
            token = twin.access_token
            seen.signed.append((time.monotonic(), kid(token), number))
            if everywhere:
                for name, check in world.checks.items():
                    if await check(token):
                        seen.accepted[name] += 1
                    else:
                        seen.refused[name, kid(token)] += 1
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for n, device in enumerate(world.devices):
            group.create_task(keep(device, n % len(world.workers)))
        try:
            yield seen
        finally:
            ended.set()


async def test_no_valid_token_is_refused_anywhere_while_a_key_goes_through_its_four_states(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyjwt_time = PyJwtTime(monkeypatch)
    (old,) = await world.published(world.workers[0])
    kept = world.devices[0].access_token
    async with load(world, everywhere=True) as seen:
        made = await asyncio.to_thread(world.running.cli, "key", "rotate", "--json")
        assert made.returncode == 0, made.stderr
        new = json.loads(made.stdout)["kid"]
        await world.all_publish(lambda kids: kids == [old, new])
        assert seen.workers_signing(new) == set()

        pyjwt_time.passed += 3600  # it reads the keys every 300 s, and they are published ahead
        await world.move(
            f"activates_at = CASE kid WHEN $1 THEN {_soon} ELSE activates_at END,"
            f" retires_at = CASE kid WHEN $1 THEN NULL ELSE {_soon} END,"
            f" removes_at = CASE kid WHEN $1 THEN NULL ELSE {_soon} + interval '75 minutes' END",
            new,
        )
        await world.all_publish(lambda kids: kids == [new, old])
        async with asyncio.timeout(30):
            while seen.workers_signing(new) != {0, 1}:
                await asyncio.sleep(0.05)
        changed = next(when for when, signer, _ in seen.signed if signer == new)
        assert all(signer == new for when, signer, _ in seen.signed if when > changed + 1)
        for name, check in world.checks.items():
            assert await check(kept), f"{name} refuses a token of the retired key"

        pyjwt_time.passed += 75 * 60
        await world.move(f"removes_at = {_soon} WHERE kid = $1", old)
        await world.all_publish(lambda kids: kids == [new])
        after = len(seen.signed)
        async with asyncio.timeout(30):
            while len(seen.signed) < after + 8:
                await asyncio.sleep(0.05)
    assert seen.refused == Counter()
    assert seen.answers.keys() == {200}
    assert seen.accepted.keys() == world.checks.keys()
    told = json.loads(world.running.cli("key", "list", "--json").stdout)["items"]
    assert {one["kid"]: one["state"] for one in told} == {new: "active", old: "removed"}


_soon = f"clock_timestamp() + interval '{RING_IS_READ} seconds'"


async def test_a_killed_key_is_dead_everywhere_within_a_second_and_sessions_go_on(
    world: World,
) -> None:
    admin = Visitor(
        world.running.url,
        await given.a_person(world.rt, f"root{uuid4().hex}@acme.example", platform_admin=True),
    )
    await admin.sign_in()
    (old,) = await world.published(world.workers[0])
    kept = world.devices[0].access_token
    del world.checks["PyJWT"], world.checks["Authlib"]  # they know of no revocations
    last: dict[str, float] = {}
    ended = asyncio.Event()

    async def show(name: str, check: Check) -> None:
        while not ended.is_set():
            began = time.monotonic()
            if await check(kept):
                last[name] = began
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group, load(world, everywhere=False) as seen:
        for name, check in world.checks.items():
            group.create_task(show(name, check))
        async with asyncio.timeout(10):
            while last.keys() != world.checks.keys():
                await asyncio.sleep(0.01)
        headers = {"authorization": f"Bearer {admin.access_token}"}
        answer = await admin.client.delete(f"/admin/signing-keys/{old}", headers=headers)
        killed = time.monotonic()
        assert answer.status_code == httpx2.codes.NO_CONTENT, answer.text
        assert (await admin.refresh()).status_code == httpx2.codes.OK
        assert kid(admin.access_token) != old
        await asyncio.sleep(2)  # longer than the second in which nobody may accept it any more
        ended.set()
    late = {name: round(when - killed, 3) for name, when in last.items()}
    print(f"last accepted after the kill was answered: {late}")  # noqa: T201
    assert max(late.values()) < 1.0
    assert seen.answers.keys() == {200}
    signed_late = [when - killed for when, signer, _ in seen.signed if signer == old]
    assert max(signed_late) < 1.0
    fresh = kid(admin.access_token)
    assert seen.workers_signing(fresh) == {0, 1}
    for worker in world.workers:
        assert await world.published(worker) == [fresh]
    for name, check in world.checks.items():
        assert await check(admin.access_token), f"{name} refuses a token of the fresh key"
        assert not await check(kept)
    await admin.client.aclose()


async def test_the_command_line_kills_a_key_for_workers_it_does_not_know(world: World) -> None:
    (old,) = await world.published(world.workers[0])
    kept = world.devices[0].access_token
    done = await asyncio.to_thread(world.running.cli, "key", "kill", old)
    assert (done.returncode, "signs from now on" in done.stdout) == (0, True), done.stderr
    began = time.monotonic()
    for name in ("worker 1", "worker 2", "verifier 1", "verifier 2"):
        while await world.checks[name](kept):
            assert time.monotonic() - began < 1.0, name
    again = world.running.cli("key", "kill", old)
    assert (again.returncode, len(again.stderr.strip().splitlines())) == (1, 1)
    for device, worker in zip(world.devices, world.workers * 2, strict=True):
        assert (await device.on(worker).refresh()).status_code == httpx2.codes.OK


ANOTHER = f'{UNLIMITED}[tokens]\nalgorithm = "EdDSA"\nid_token_algorithms = ["RS256"]\n'


async def test_the_algorithms_change_over_a_restart_and_nobody_s_token_is_refused() -> None:
    """Access tokens by another, and one more in use: by two workers, the command line and PyJWT."""
    with cloned_database() as database, redis_database() as redis:
        at: dict[str, Any] = {"database_url": database, "redis_url": redis, "workers": 2}
        env = {**PROXY, "AUTH_ISSUER": ISSUER}
        async with (
            service(policy=UNLIMITED, env=env, **at) as before,
            visitors(before, 2) as devices,
        ):
            pass
        async with (
            service(policy=ANOTHER, env=env, **at) as running,
            inside(running) as rt,
            one_connection_each(running) as workers,
        ):
            twins = [device.on(one) for device, one in zip(devices, workers, strict=True)]
            await _goes_on(World(running, rt, workers, twins))


async def _goes_on(world: World) -> None:
    tokens = [device.access_token for device in world.devices]

    async def signed_by() -> set[str]:
        """Refresh on each worker; return the algorithms of their tokens."""
        for device in world.devices:
            assert (await device.refresh()).status_code == httpx2.codes.OK
            tokens.append(device.access_token)
        return {jwt.get_unverified_header(token)["alg"] for token in tokens[-2:]}

    async def all_are_good() -> None:
        for worker in world.workers:
            jwks = (await worker.get("/.well-known/jwks.json")).text
            for token in tokens:
                assert await by_worker(worker)(token)
                key = jwt.PyJWKSet.from_json(jwks)[kid(token)]
                jwt.decode(token, key, algorithms=["ES256", "EdDSA"], audience=ISSUER)

    async def keys() -> Counter[tuple[str, str]]:
        told = json.loads((await cli("list", "--json")).stdout)["items"]
        return Counter((key["algorithm"], key["state"]) for key in told)

    async def cli(*words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(world.running.cli, "key", *words)

    await world.all_publish(lambda kids: len(kids) == 3)
    assert await keys() == {("ES256", "active"): 1, ("EdDSA", "pending"): 1, ("RS256", "active"): 1}
    assert await signed_by() == {"ES256"}
    await all_are_good()
    published = [await world.published(worker) for worker in world.workers]
    again = json.loads((await cli("rotate", "--json")).stdout)
    assert (again["algorithm"], again["kid"] in published[0]) == ("EdDSA", True)
    refused = await cli("rotate", "--algorithm", "ES256")
    assert (refused.returncode, "EdDSA, RS256" in refused.stderr) == (2, True), refused.stderr
    made = json.loads((await cli("rotate", "--algorithm", "RS256", "--json")).stdout)
    assert made["algorithm"] == "RS256"
    assert (await cli("rotate", "--algorithm", "RS256")).returncode == 1
    await world.all_publish(lambda kids: len(kids) == 4)

    hour = "interval '1 hour'"
    columns = ("activates_at", "retires_at", "removes_at")
    await world.move(", ".join(f"{column} = {column} - {hour}" for column in columns))
    async with asyncio.timeout(30):
        while await signed_by() != {"EdDSA"}:
            await asyncio.sleep(0.2)
    await all_are_good()
    assert await keys() == {
        ("ES256", "retired"): 1,
        ("EdDSA", "active"): 1,
        ("RS256", "active"): 1,
        ("RS256", "retired"): 1,
    }
    killed = json.loads((await cli("kill", made["kid"], "--json")).stdout)
    assert killed["state"] == "active"
    await world.all_publish(lambda kids: killed["successor"] in kids and made["kid"] not in kids)
    await all_are_good()
