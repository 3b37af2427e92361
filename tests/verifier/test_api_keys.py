"""API keys by the verifier, against the service itself: two workers, real connections."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tesserra_verifier import (
    KEY_PATTERN,
    InsufficientScopeError,
    InvalidKeyError,
    UnavailableError,
    Verifier,
)
from tesserra_verifier.apikeys import is_written

from service.domain import apikeys, revocations
from service.domain.revocations import Kind
from service.flows.apikeys.create import NewKey, create_key
from service.flows.apikeys.delete import delete_key
from service.flows.apikeys.issuing import IssuedKey
from service.flows.apikeys.revoke import revoke_key
from service.kernel.call import Call, Person
from service.kernel.ids import SessionId
from service.runtime import Runtime
from tests import given
from tests.processes import Running, service
from tests.system.visitors import UNLIMITED, inside
from tests.verifier.conftest import eventually

pytestmark = pytest.mark.xdist_group("verifier")

CHECK = "/api-keys/verify"


class Line(httpx2.AsyncHTTPTransport):
    """The way to the service: counts what is asked, and can be cut for some paths."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.cut: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked[request.url.path] += 1
        if request.url.path in self.cut:
            raise httpx2.ConnectError("cut")
        return await super().handle_async_request(request)


@dataclass
class World:
    """A running service, an organization's owner, and clients of the service."""

    running: Running
    rt: Runtime
    person: Person
    clients: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)

    def call(self) -> Call:
        return Call(request_id=uuid4().hex, at=self.rt.clock.now(), actor=self.person)

    async def key(self, *networks: str, seconds: float | None = None) -> IssuedKey:
        ends = None if seconds is None else self.rt.clock.now() + timedelta(seconds=seconds)
        new = NewKey(name="a machine", scopes=("agentes",), expires_at=ends, networks=networks)
        return await create_key(self.rt, self.call(), new)

    async def announce(self, kind: Kind, value: object) -> None:
        """Put an entry on the feed as an act does."""
        at = self.rt.clock.now()
        async with self.rt.pg.decision() as tx:
            await revocations.revoke(
                tx,
                kind,
                [str(value)],
                tenant_id=None,
                reason="test",
                at=at,
                expires_at=at + timedelta(hours=1),
            )

    def client(self, *scopes: str) -> tuple[str, str]:
        if scopes not in self.clients:
            asked = [text for scope in scopes for text in ("--scope", scope)]
            made = self.running.cli("client", "create", "--name", "orders", *asked, "--json")
            assert made.returncode == 0, made.stderr
            told = json.loads(made.stdout)
            self.clients[scopes] = told["client_id"], told["client_secret"]
        return self.clients[scopes]

    @asynccontextmanager
    async def verifier(self, *scopes: str, **options: Any) -> AsyncIterator[tuple[Verifier, Line]]:
        line = Line()
        issuer = self.running.environment["AUTH_ISSUER"]
        client = self.client(*(scopes or ("revocations:read", "api-keys:verify")))
        plain: dict[str, Any] = {"base_url": self.running.url, "max_staleness": 3}
        async with (
            httpx2.AsyncClient(transport=line) as http,
            Verifier(issuer, issuer, *client, http=http, **plain | options) as verifier,
        ):
            # an answer counts when the last entry on a person is a second old
            await asyncio.sleep(1.1)
            yield verifier, line


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with service(workers=2, policy=UNLIMITED) as running, inside(running) as rt:
        made = await given.a_person(rt, role="owner")
        person = Person(
            user_id=made.user_id,
            tenant_id=made.tenant_id,
            session_id=SessionId(made.user_id),
            client_id="console",
            roles=("owner",),
            scopes=("agentes",),
            expires_at=rt.clock.now() + timedelta(hours=1),
        )
        yield World(running, rt, person)


async def refusal(verifier: Verifier, key: str, **more: str) -> str | None:
    try:
        await verifier.verify_key(key, **more)
    except InvalidKeyError as exc:
        return exc.reason
    return None


def is_refused(verifier: Verifier, key: str, reason: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await refusal(verifier, key) == reason

    return ask


async def test_a_good_key_is_asked_about_once_for_each_scope_and_address(world: World) -> None:
    made = await world.key("192.0.2.0/24", seconds=600)
    async with world.verifier() as (verifier, line):
        for _ in range(5):
            claims = await verifier.verify_key(made.secret, scope="agentes", address="192.0.2.7")
        assert line.asked[CHECK] == 1
        assert claims.key_id == str(made.key.key_id)
        assert claims.tenant_id == str(world.person.tenant_id)
        assert claims.scopes == ("agentes",)
        assert made.key.expires_at is not None
        assert claims.expires_at == made.key.expires_at.timestamp()
        claims.require("agentes")
        with pytest.raises(InsufficientScopeError):
            claims.require("agentes", "proxy-ollama")
        with pytest.raises(InsufficientScopeError):
            await verifier.verify_key(made.secret, scope="proxy-ollama", address="192.0.2.7")
        assert await refusal(verifier, made.secret, address="198.51.100.1") == "address"
        assert await refusal(verifier, made.secret) == "address"
        with pytest.raises(ValueError, match="address"):
            await verifier.verify_key(made.secret, address="the office")


async def test_what_is_no_key_to_the_letter_is_refused_without_a_call(world: World) -> None:
    key = apikeys.new_text().written()
    async with world.verifier() as (verifier, line):
        for text in (key[:-1], key + "0", key.swapcase(), "x" + key[1:], "", "tsk_", key + "\n"):
            assert await refusal(verifier, text) == "malformed"
        assert line.asked[CHECK] == 0
        assert await refusal(verifier, key) == "unknown"
        assert line.asked[CHECK] == 1


def test_a_key_is_read_as_the_service_reads_it() -> None:
    assert KEY_PATTERN == apikeys.PATTERN
    for _ in range(50):
        key = apikeys.new_text().written()
        assert is_written(key)
        for place in range(len(key)):
            other = key[:place] + ("a" if key[place] != "a" else "b") + key[place + 1 :]
            assert is_written(other) == (apikeys.read(other) is not None) is False


@pytest.mark.parametrize("ending", [revoke_key, delete_key])
async def test_a_revoked_key_is_refused_within_a_second_without_a_call(
    world: World, ending: Callable[[Runtime, Call, Any], Awaitable[object]]
) -> None:
    made, other = await world.key(), await world.key()
    async with world.verifier() as (verifier, line):
        await verifier.verify_key(made.secret)
        await verifier.verify_key(other.secret)
        await ending(world.rt, world.call(), made.key.key_id)
        # the other's answer is remembered: it is asked about no more
        assert await eventually(is_refused(verifier, made.secret, "revoked"), 1.0) < 1.0
        assert await refusal(verifier, other.secret) is None
        assert line.asked[CHECK] == 2


async def test_a_key_ends_at_its_expiry_without_a_call(world: World) -> None:
    made = await world.key(seconds=4)
    assert made.key.expires_at is not None
    async with world.verifier() as (verifier, line):
        await verifier.verify_key(made.secret)
        await eventually(is_refused(verifier, made.secret, "expired"), 10.0)
        # the verifier reads the wall clock, the service one that never goes back: a hair apart
        assert world.rt.clock.now() >= made.key.expires_at - timedelta(milliseconds=100)
        assert line.asked[CHECK] == 1


@pytest.mark.parametrize(
    ("kind", "mine", "again"),
    [(Kind.TENANT_ID, True, True), (Kind.TENANT_ID, False, False), (Kind.SUB, False, True)],
)
async def test_an_entry_that_may_concern_a_key_has_it_asked_about_again(
    world: World, kind: Kind, *, mine: bool, again: bool
) -> None:
    made = await world.key()
    async with world.verifier() as (verifier, line):
        await verifier.verify_key(made.secret)
        assert line.asked[CHECK] == 1
        known = verifier.entries
        await world.announce(kind, world.person.tenant_id if mine else uuid4())

        async def has_heard() -> bool:
            return verifier.entries > known

        await eventually(has_heard)
        await verifier.verify_key(made.secret)
        assert line.asked[CHECK] == (2 if again else 1)


async def test_while_stale_the_rule_decides(world: World) -> None:
    made, unseen = await world.key(), await world.key()

    async def stale(rule: str) -> None:
        async with world.verifier(when_stale=rule, max_staleness=4) as (verifier, line):
            await verifier.verify_key(made.secret)
            assert line.asked[CHECK] == 1
            line.cut.add("/revocations")

            async def is_stale() -> bool:
                return verifier.staleness > 4

            await eventually(is_stale)
            match rule:
                case "refuse":
                    with pytest.raises(UnavailableError):
                        await verifier.verify_key(made.secret)
                    assert line.asked[CHECK] == 1
                case "accept":
                    await verifier.verify_key(made.secret)
                    with pytest.raises(UnavailableError):
                        await verifier.verify_key(unseen.secret)
                    assert line.asked[CHECK] == 1
                case _:
                    await verifier.verify_key(made.secret)
                    await verifier.verify_key(made.secret)
                    assert line.asked[CHECK] == 3
                    line.cut.add(CHECK)
                    with pytest.raises(UnavailableError):
                        await verifier.verify_key(made.secret)

    await asyncio.gather(*(stale(rule) for rule in ("refuse", "introspect", "accept")))


async def test_a_client_without_the_scope_vouches_for_no_key(world: World) -> None:
    made = await world.key()
    async with world.verifier("revocations:read") as (verifier, _):
        with pytest.raises(UnavailableError):
            await verifier.verify_key(made.secret)
