"""The life of signing keys: published, signing, retired, removed; rotated on time; killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from service.domain.keyring import Described
from service.domain.revocations import Follower
from service.flows.keys.kill import kill_key
from service.flows.keys.read import list_keys
from service.flows.keys.rotate import rotate_keys
from service.flows.upkeep.key_schedule import rotate_when_due
from service.flows.upkeep.tend import follow_key_schedule
from service.kernel.call import Call, Operator
from service.kernel.jose import ALGORITHMS, Algorithm, Key
from service.kernel.refusal import Reason, Refused
from service.policy import Keys, Policy, Tokens
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.world import UNLIMITED

HOUR = timedelta(hours=1)
Calls = Callable[..., Call]


def deployed(access: Algorithm, *others: Algorithm, **more: Any) -> Policy:
    """Return a policy under which these algorithms are in use."""
    tokens = Tokens(algorithm=access, id_token_algorithms=others)
    return Policy(limits=UNLIMITED, tokens=tokens, **more)


@pytest.fixture
def operator(call: Calls) -> Calls:
    return lambda: call(actor=Operator())


@pytest.fixture
async def rt(rt: Runtime) -> AsyncIterator[Runtime]:
    """A ring of one key, made now."""
    async with rt.pg.autocommit() as tx:
        await tx.execute("TRUNCATE auth_signing_keys")
    rt.keyring._keys.clear()
    await rt.keyring.ensure(rt.pg)
    yield rt
    async with rt.pg.autocommit() as tx:
        await tx.execute("TRUNCATE auth_signing_keys")


@pytest.fixture
async def other(rt: Runtime, settings: Settings, policy: Policy) -> AsyncIterator[Runtime]:
    """Another worker, whose clock is the same."""
    async with open_runtime(settings, policy=policy, clock=rt.clock, passwords=rt.passwords) as two:
        yield two


def published(rt: Runtime) -> list[str]:
    return [key["kid"] for key in msgspec.json.decode(rt.keyring.jwks)["keys"]]


def signing(rt: Runtime) -> str:
    return rt.keyring.signing(rt.clock.now()).kid


async def states(rt: Runtime, operator: Calls) -> dict[str, str]:
    return {key.kid: key.state(rt.clock.now()) for key in await list_keys(rt, operator())}


async def test_a_key_is_published_signs_retires_and_is_removed_at_one_moment_for_all(
    rt: Runtime, other: Runtime, operator: Calls
) -> None:
    first = signing(rt)
    made = await rotate_keys(rt, operator())
    await other.keyring.refresh(other.pg)
    moments = [
        (timedelta(), ["pending", "active"], first, [first, made.kid]),
        (HOUR, ["active", "retired"], made.kid, [made.kid, first]),
        (timedelta(minutes=75), ["active", "removed"], made.kid, [made.kid]),
    ]
    for step, seen, signs, keys in moments:
        rt.clock.advance(step)
        told = await states(rt, operator)
        assert [told[made.kid], told[first]] == seen
        for worker in (rt, other):
            assert signing(worker) == signs
            assert published(worker) == keys
        assert rt.keyring.jwks == other.keyring.jwks
    (event,) = await given.events(rt, "signing_key.published")
    assert event["detail"]["kid"] == made.kid


async def test_a_second_rotation_waits_for_the_first(rt: Runtime, operator: Calls) -> None:
    outcomes = await asyncio.gather(
        *(rotate_keys(rt, operator()) for _ in range(4)), return_exceptions=True
    )
    made = [one for one in outcomes if isinstance(one, Described)]
    refused = [one.reason for one in outcomes if isinstance(one, Refused)]
    assert (len(made), refused) == (1, [Reason.CONFLICT] * 3)


async def test_the_schedule_publishes_one_successor_in_time_whoever_looks(
    rt: Runtime, other: Runtime, operator: Calls
) -> None:
    assert await rotate_when_due(rt, operator()) == []
    rt.clock.advance(timedelta(days=90) - HOUR - timedelta(minutes=1))
    assert await rotate_when_due(rt, operator()) == []
    rt.clock.advance(timedelta(minutes=1))
    made = await asyncio.gather(
        *(rotate_when_due(worker, operator()) for worker in (rt, other) * 3)
    )
    (successor,) = [one for ones in made for one in ones]
    assert successor.activates_at - rt.clock.now() <= HOUR
    assert [e["detail"]["scheduled"] for e in await given.events(rt, "signing_key.published")] == [
        True
    ]


async def test_upkeep_follows_the_schedule(rt: Runtime, operator: Calls) -> None:
    first = signing(rt)
    await follow_key_schedule(rt)
    assert published(rt) == [first]
    rt.clock.advance(timedelta(days=90))
    for _ in range(2):
        await follow_key_schedule(rt)
    assert sorted((await states(rt, operator)).values()) == ["active", "pending"]
    (event,) = await given.events(rt, "signing_key.published")
    assert event["actor_kind"] == "operator"


async def test_a_killed_key_neither_signs_nor_verifies_and_a_fresh_one_does_both(
    rt: Runtime, other: Runtime, operator: Calls
) -> None:
    killed = signing(rt)
    done = await kill_key(rt, operator(), killed)
    assert done.successor is not None
    async with asyncio.timeout(1):
        while signing(other) == killed:
            await asyncio.sleep(0.005)
    for worker in (rt, other):
        assert signing(worker) == done.successor.kid
        assert published(worker) == [done.successor.kid]
    assert (await states(rt, operator))[killed] == "removed"
    (event,) = await given.events(rt, "signing_key.killed")
    assert event["detail"] == {"kid": killed, "state": "active", "successor": done.successor.kid}
    with pytest.raises(Refused) as caught:
        await kill_key(rt, operator(), killed)
    assert caught.value.reason is Reason.NOT_FOUND


async def test_a_worker_that_could_not_read_the_ring_does_not_sign_with_a_killed_key(
    rt: Runtime, other: Runtime, operator: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OSError

    killed = signing(other)
    monkeypatch.setattr(other.keyring, "refresh", fails)
    await kill_key(rt, operator(), killed)
    await other.revocations.catch_up_to(rt.revocations.memory.seq)
    with pytest.raises(Refused, match="no active signing key"):
        signing(other)
    assert published(other) == []


async def test_a_worker_that_cannot_open_one_key_goes_on_with_the_others(
    rt: Runtime, other: Runtime, operator: Calls
) -> None:
    first = signing(rt)
    damaged = await rotate_keys(rt, operator())
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_signing_keys SET sealed = 'x' WHERE kid = $1", damaged.kid)
    done = await kill_key(rt, operator(), first)
    assert done.successor is not None
    await other.keyring.refresh(other.pg)
    assert (signing(other), published(other)) == (done.successor.kid, [done.successor.kid])
    (told,) = other.keyring.broken
    assert told.startswith(f"signing-key {damaged.kid}: ")
    assert (await kill_key(other, operator(), damaged.kid)).state == "pending"
    assert other.keyring.broken == []
    other.clock.advance(5 * HOUR)
    assert signing(other) == done.successor.kid


async def test_a_call_that_began_before_a_kill_is_signed_by_the_fresh_key(
    rt: Runtime, operator: Calls
) -> None:
    before = rt.clock.now()
    rt.clock.advance(timedelta(milliseconds=20))
    done = await kill_key(rt, operator(), signing(rt))
    assert done.successor is not None
    assert rt.keyring.signing(before).kid == done.successor.kid


async def test_killing_the_pending_key_leaves_the_active_one_to_go_on(
    rt: Runtime, operator: Calls
) -> None:
    first = signing(rt)
    made = await rotate_keys(rt, operator())
    done = await kill_key(rt, operator(), made.kid)
    assert (done.state, done.successor) == ("pending", None)
    rt.clock.advance(timedelta(hours=5))
    await rt.keyring.refresh(rt.pg)
    assert signing(rt) == first
    assert published(rt) == [first]


async def test_killing_the_active_key_bridges_the_time_until_the_pending_one_signs(
    rt: Runtime, operator: Calls
) -> None:
    made = await rotate_keys(rt, operator())
    done = await kill_key(rt, operator(), signing(rt))
    assert done.successor is not None
    assert (signing(rt), set(published(rt))) == (done.successor.kid, {done.successor.kid, made.kid})
    rt.clock.advance(HOUR)
    assert signing(rt) == made.kid
    assert published(rt) == [made.kid, done.successor.kid]
    rt.clock.advance(timedelta(minutes=75))
    assert published(rt) == [made.kid]


async def test_killing_a_retired_key_changes_nothing_for_the_others(
    rt: Runtime, operator: Calls
) -> None:
    first = signing(rt)
    made = await rotate_keys(rt, operator())
    rt.clock.advance(HOUR)
    done = await kill_key(rt, operator(), first)
    assert (done.state, done.successor) == ("retired", None)
    assert (signing(rt), published(rt)) == (made.kid, [made.kid])


async def test_a_worker_reads_the_ring_for_a_kid_it_has_not_met_but_not_for_every_made_up_one(
    rt: Runtime, operator: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    refresh = rt.keyring.refresh

    async def counted(*given: Any) -> None:
        nonlocal read
        read += 1
        await refresh(*given)

    monkeypatch.setattr(rt.keyring, "refresh", counted)
    known = rt.keyring.signing(rt.clock.now())
    for header in (known.header, "e30", "not base64!", known.header + "A"):
        await rt.keyring.learn(rt.pg, f"{header}.payload.signature")
    assert read == 0
    for n in range(5):
        stranger = _renamed(known, f"made-up-{n}")
        await rt.keyring.learn(rt.pg, f"{stranger}.payload.signature")
    assert read == 1


def _renamed(key: Key, kid: str) -> str:
    from service.kernel import jose  # noqa: PLC0415

    return jose.encode(msgspec.json.encode({"alg": key.algorithm, "kid": kid, "typ": "at+jwt"}))


@pytest.mark.parametrize(
    "policy", [deployed("ES256", "EdDSA", "RS256", keys=Keys(publish_ahead=900))], ids=["all"]
)
async def test_rsa_and_ec_keys_stand_before_okp_keys_and_the_signing_one_first(
    rt: Runtime, operator: Calls
) -> None:
    await rotate_when_due(rt, operator())
    for algorithm in ALGORITHMS:
        await rotate_keys(rt, operator(), algorithm)
        told = msgspec.json.decode(rt.keyring.jwks)["keys"]
        kinds = [key["kty"] == "OKP" for key in told]
        assert kinds == sorted(kinds)
    rt.clock.advance(timedelta(seconds=900))
    told = msgspec.json.decode(rt.keyring.jwks)["keys"]
    assert [key["alg"] for key in told] == ["ES256"] * 2 + ["RS256"] * 2 + ["EdDSA"] * 2
    for algorithm, shown in zip(ALGORITHMS, told[::2], strict=True):
        assert shown["kid"] == rt.keyring.signing_by(algorithm, rt.clock.now()).kid
    assert len({key["kid"] for key in told}) == len(told)
    public = {"alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"}
    assert all(key.keys() <= public and key["use"] == "sig" for key in told)


async def test_a_ring_rotated_again_and_again_has_one_signing_key_at_every_moment(
    rt: Runtime, operator: Calls
) -> None:
    for _ in range(4):
        await rotate_keys(rt, operator())
        rt.clock.advance(timedelta(minutes=61))
    keys = sorted(await list_keys(rt, operator()), key=lambda key: key.activates_at)
    for older, younger in pairwise(keys):
        assert older.retires_at == younger.activates_at
        assert older.removes_at is not None
        assert older.removes_at - younger.activates_at == timedelta(minutes=75)


async def test_a_follower_that_starts_after_a_kill_reads_the_ring(
    rt: Runtime, operator: Calls
) -> None:
    asked = asyncio.Event()

    async def note() -> None:
        asked.set()

    await kill_key(rt, operator(), signing(rt))
    late = Follower(rt.pg, rt.redis, rt.clock, key_killed=note)
    await late.start()
    assert asked.is_set()
    await late.stop()
