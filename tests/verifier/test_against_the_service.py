"""The verifier against the service itself: two workers, real databases, real connections."""

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tesserra_verifier import InvalidTokenError, UnavailableError, Verifier

from service.domain import revocations
from service.domain.revocations import Kind
from service.domain.tokens import Claims
from service.embedded.checkout import ROOT
from service.embedded.servers import free_port
from service.kernel.ids import TenantId
from service.runtime import Runtime
from tests import given
from tests.processes import Running, service
from tests.servers import cloned_database, private_postgres, redis_database
from tests.system.test_backup import dump, restore
from tests.system.visitors import UNLIMITED, Visitor, inside
from tests.verifier.conftest import eventually

pytestmark = pytest.mark.xdist_group("verifier")


FAKETIME = next(Path("/usr").glob("lib/*/faketime/libfaketimeMT.so.1"), None)


@dataclass
class World:
    """A running service, a way into its databases, and a client of it."""

    running: Running
    rt: Runtime
    client_id: str
    client_secret: str
    issuer: str = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = self.running.environment["AUTH_ISSUER"]

    def verifier(self, **options: Any) -> Verifier:
        plain: dict[str, Any] = {"base_url": self.running.url, "max_staleness": 3}
        return Verifier(
            self.issuer, self.issuer, self.client_id, self.client_secret, **plain | options
        )

    def token(self, **claims: Any) -> str:
        """Mint a token with the service's own key."""
        now = int(self.rt.clock.now().timestamp())
        plain: dict[str, Any] = {
            "iss": self.issuer,
            "sub": str(uuid4()),
            "aud": self.rt.tokens.audience,
            "exp": now + 900,
            "iat": now,
            "jti": str(uuid4()),
            "client_id": f"c-{uuid4()}",
            "scope": "agentes",
            "sid": str(uuid4()),
            "tenant_id": str(uuid4()),
            "akid": str(uuid4()),
        }
        key = self.rt.keyring.signing(self.rt.clock.now())
        return self.rt.tokens.mint(key, Claims(**plain | claims))

    async def revoke(self, kind: Kind, *values: str, tenant_id: TenantId | None = None) -> None:
        """Revoke as an act does: in a transaction that commits."""
        at = self.rt.clock.now()
        async with self.rt.pg.decision() as tx:
            await revocations.revoke(
                tx,
                kind,
                values,
                tenant_id=tenant_id,
                reason="test",
                at=at,
                expires_at=at + timedelta(hours=1),
            )

    async def in_force(self) -> int:
        async with self.rt.pg.reading() as tx:
            found: int = await tx.fetchval("SELECT count(*) FROM auth_revocations")
        return found


def a_client(running: Running) -> tuple[str, str]:
    made = running.cli(
        "client", "create", "--name", "orders", "--scope", "revocations:read", "--json"
    )
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    return told["client_id"], told["client_secret"]


@asynccontextmanager
async def a_world(**options: Any) -> AsyncIterator[World]:
    async with service(workers=2, policy=UNLIMITED, **options) as running, inside(running) as rt:
        yield World(running, rt, *a_client(running))


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def outcome(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except InvalidTokenError as exc:
        return exc.reason
    except UnavailableError:
        return "unavailable"
    return "accepted"


def is_so(verifier: Verifier, token: str, wanted: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await outcome(verifier, token) == wanted

    return ask


async def becomes(verifier: Verifier, token: str, wanted: str, seconds: float = 15) -> float:
    return await eventually(is_so(verifier, token, wanted), seconds)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.KID])
async def test_each_kind_of_revocation_stops_its_tokens_and_no_other(
    world: World, kind: Kind
) -> None:
    token, other = world.token(), world.token()
    async with world.verifier() as verifier:
        claims = await verifier.verify(token)
        assert await outcome(verifier, other) == "accepted"
        await world.revoke(kind, claims.payload[kind.value])
        assert await becomes(verifier, token, "revoked") < 2
        assert await outcome(verifier, other) == "accepted"


async def test_signing_out_stops_the_access_token_at_the_verifier(world: World) -> None:
    person = await given.a_person(world.rt, f"{uuid4()}@acme.example")
    visitor = Visitor(world.running.url, person)
    try:
        await visitor.sign_in()
        async with world.verifier() as verifier:
            claims = await verifier.verify(visitor.access_token)
            assert claims.sub == str(person.user_id)
            assert (await visitor.sign_out()).status_code == 204
            assert await becomes(verifier, visitor.access_token, "revoked") < 1
    finally:
        await visitor.client.aclose()


async def test_the_end_of_its_own_tokens_does_not_stop_the_verifier(world: World) -> None:
    token = world.token()
    async with world.verifier() as verifier:
        await world.revoke(Kind.CLIENT_ID, world.client_id)
        old = verifier._remote._reading._token
        await eventually(lambda: renewed(verifier, old))
        claims = await verifier.verify(token)
        await world.revoke(Kind.SID, str(claims.sid))
        assert await becomes(verifier, token, "revoked") < 2
    # another test's verifier starts with a token of this second: let it be over
    await asyncio.sleep(1 - time.time() % 1)


async def renewed(verifier: Verifier, old: str) -> bool:
    return verifier._remote._reading._token != old and verifier.staleness < 3


class Severed(httpx2.AsyncBaseTransport):
    """A wire that can be cut: what is under way then, and all that follows, is never answered."""

    def __init__(self) -> None:
        self._wire = httpx2.AsyncHTTPTransport()
        self.is_cut = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = None if self.is_cut else await self._wire.handle_async_request(request)
        if answer is None or self.is_cut:
            await asyncio.Event().wait()
            raise AssertionError("nothing sets this event")
        return answer

    async def aclose(self) -> None:
        await self._wire.aclose()


@pytest.mark.parametrize(
    "minutes",
    [
        0,
        pytest.param(
            5,
            marks=pytest.mark.skipif(
                "TESSERRA_LONG" not in os.environ, reason="five minutes: set TESSERRA_LONG=1"
            ),
        ),
    ],
)
async def test_a_verifier_that_was_cut_off_catches_up_without_missing_an_entry(
    world: World, minutes: int
) -> None:
    wire = Severed()
    doomed, spared = [world.token() for _ in range(3)], world.token()
    async with (
        httpx2.AsyncClient(transport=wire) as http,
        world.verifier(http=http, page=500) as verifier,
    ):
        jtis = [(await verifier.verify(token)).jti for token in doomed]
        wire.is_cut = True
        start = time.monotonic()
        values = [str(uuid4()) for _ in range(2_600)]
        for place, jti in zip((0, 1_300, 2_602), jtis, strict=True):
            values.insert(place, jti)
        starts = range(0, len(values), 400)
        for n in starts:
            await world.revoke(Kind.JTI, *values[n : n + 400])
            await asyncio.sleep(minutes * 60 / len(starts))
        await becomes(verifier, spared, "unavailable")
        assert time.monotonic() - start >= 2  # until then it could vouch for what it knew
        for token in doomed:
            assert await outcome(verifier, token) == "unavailable"
        wire.is_cut = False
        while (now := await outcome(verifier, spared)) != "accepted":
            assert now == "unavailable"
            # no moment of the way back lets a revoked token through
            assert {await outcome(verifier, token) for token in doomed} <= {
                "unavailable",
                "revoked",
            }
            await asyncio.sleep(0)
        assert [await outcome(verifier, token) for token in doomed] == ["revoked"] * 3
        assert verifier.entries == await world.in_force()


async def test_a_verifier_cut_off_across_a_restore_misses_nothing_of_what_came_after_it(
    tmp_path: Path,
) -> None:
    port, file = free_port(), tmp_path / "auth.dump"
    env = {"AUTH_BIND": f"127.0.0.1:{port}", "AUTH_ISSUER": f"http://localhost:{port}"}
    wire = Severed()
    with private_postgres() as first, private_postgres(migrated=False) as second:
        async with contextlib.AsyncExitStack() as stack:
            async with a_world(env=env, database_url=first.url) as world:
                http = await stack.enter_async_context(httpx2.AsyncClient(transport=wire))
                await world.revoke(Kind.JTI, *(f"before {n}" for n in range(3)))
                await asyncio.to_thread(dump, first, file)
                await world.revoke(Kind.JTI, *(f"lost {n}" for n in range(3)))
                doomed, token = world.token(), world.token()
                verifier = world.verifier(http=http)
                await stack.enter_async_context(verifier)
                assert verifier.entries == 6
                assert await outcome(verifier, doomed) == "accepted"
                wire.is_cut = True
            await asyncio.to_thread(restore, second, file)
            async with (
                service(workers=2, policy=UNLIMITED, env=env, database_url=second.url) as running,
                inside(running) as rt,
            ):
                again = World(running, rt, world.client_id, world.client_secret)
                # numbers 4 to 9: the verifier stands at 6
                await again.revoke(Kind.JTI, given.claims(doomed)["jti"])
                await again.revoke(Kind.JTI, *(f"after {n}" for n in range(5)))
                wire.is_cut = False
                await becomes(verifier, doomed, "revoked")
                await becomes(verifier, token, "accepted")
                assert verifier.entries == 12


@pytest.mark.skipif(FAKETIME is None, reason="no libfaketime here: no clock can be stepped")
async def test_a_host_of_the_service_that_is_an_hour_ahead_stops_no_verifier() -> None:
    env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+3600s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    # not ready, as it says by itself; but whoever reaches it is answered rightly
    async with a_world(env=env, wait=False) as world, httpx2.AsyncClient() as http:
        answer: list[httpx2.Response] = []

        async def is_there() -> bool:
            with contextlib.suppress(httpx2.HTTPError):
                answer.append(await http.get(f"{world.running.url}/healthz"))
            return bool(answer)

        await eventually(is_there, 30)
        ahead = parsedate_to_datetime(answer[0].headers["date"]).timestamp() - time.time()
        assert 3500 < ahead < 3700
        async with world.verifier() as verifier:
            token = world.token()
            await becomes(verifier, token, "accepted")
            await world.revoke(Kind.JTI, given.claims(token)["jti"])
            assert await becomes(verifier, token, "revoked") < 2


async def test_a_service_that_hangs_makes_its_verifiers_refuse_until_it_runs_again() -> None:
    async with a_world() as world, world.verifier() as verifier:
        token = world.token()
        assert await outcome(verifier, token) == "accepted"
        processes = [world.running.pid, *world.running.workers()]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            await becomes(verifier, token, "unavailable")
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        await becomes(verifier, token, "accepted")


async def test_a_verifier_that_starts_before_the_service_refuses_and_recovers_alone() -> None:
    port = free_port()
    env = {"AUTH_BIND": f"127.0.0.1:{port}", "AUTH_ISSUER": f"http://localhost:{port}"}
    with cloned_database() as database_url, redis_database() as redis_url:
        where = {"database_url": database_url, "redis_url": redis_url, "env": env}
        async with a_world(**where) as world:
            doomed, token = world.token(), world.token()
            jti = given.claims(doomed)["jti"]
            await world.revoke(Kind.JTI, jti)
            early = world.verifier(patience=0.2)
        async with early as verifier:
            assert await outcome(verifier, token) == "unavailable"
            assert verifier.staleness == math.inf
            async with service(workers=2, **where):  # type: ignore[arg-type]
                await becomes(verifier, token, "accepted")
                assert await outcome(verifier, doomed) == "revoked"
            await becomes(verifier, token, "unavailable")
            assert await outcome(verifier, doomed) == "revoked"
            async with service(workers=2, **where):  # type: ignore[arg-type]
                await becomes(verifier, token, "accepted")


async def test_introspection_answers_for_a_stale_verifier_that_may_ask(world: World) -> None:
    class NoFeed(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/revocations":
                raise httpx2.ConnectError("no feed")
            return await super().handle_async_request(request)

    token, doomed = world.token(), world.token()
    async with (
        httpx2.AsyncClient(transport=NoFeed()) as http,
        world.verifier(http=http, when_stale="introspect", patience=0.1) as verifier,
    ):
        await becomes(verifier, token, "accepted")
        assert verifier.staleness == math.inf
        await world.revoke(Kind.JTI, given.claims(doomed)["jti"])
        await becomes(verifier, doomed, "revoked")
        assert await outcome(verifier, token) == "accepted"


async def test_a_hundred_thousand_entries_load_in_five_seconds_and_forty_megabytes() -> None:
    async with a_world() as world:
        async with world.rt.pg.decision() as tx:
            await tx.execute(
                """
                INSERT INTO auth_revocations
                    (seq, kind, value, cutoff, reason, revoked_at, expires_at)
                SELECT n, kind, gen_random_uuid(),
                    CASE WHEN kind IN ('sub', 'tenant_id', 'client_id') THEN $1::timestamptz END,
                    'test', $1, $1::timestamptz + n * interval '10 ms' + interval '1 hour'
                FROM (SELECT n, (ARRAY['jti','sid','sub','jti','client_id','akid'])[1 + n % 6] kind
                      FROM generate_series(1, 100000) n) made
                """,
                world.rt.clock.now(),
            )
            await tx.execute("UPDATE auth_revocation_head SET seq = 100000")
        async with world.verifier() as verifier:
            await eventually(lambda: holds(verifier, 100_000), 30)
        busy = os.getloadavg()[0] > (os.cpu_count() or 1)
        loads = [await loaded(world) for _ in range(2)]
        for told in loads:
            assert told["entries"] == 100_000
            assert told["megabytes"] < 40, loads
            assert told["cpu_seconds"] < 2.5, loads
        # how long its share of a crowded machine took says nothing of the verifier
        assert busy or min(told["seconds"] for told in loads) < 5, loads


async def loaded(world: World) -> dict[str, float]:
    """Load everything in a process of its own; return what that took."""
    given_to = [world.running.url, world.issuer, world.client_id, world.client_secret]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.verifier.loading",
        *given_to,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'verifier'}"},
    )
    output, _ = await child.communicate()
    told: dict[str, float] = json.loads(output)
    return told


async def holds(verifier: Verifier, count: int) -> bool:
    return verifier.entries == count
