"""Several algorithms at once: each has keys of its own, and one signs access tokens.

What is published is checked by libraries that are not ours at every step.
"""

import asyncio
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import authlib.deprecate
import jwt
import msgspec
import pytest

from service.domain.keyring import State
from service.flows.keys.kill import kill_key
from service.flows.keys.read import list_keys
from service.flows.keys.rotate import rotate_keys
from service.flows.shared.authenticate import verify
from service.flows.upkeep.key_schedule import rotate_when_due
from service.kernel.call import Call, Operator
from service.kernel.ids import new
from service.kernel.jose import ALGORITHMS, Algorithm, Key
from service.kernel.refusal import Reason, Refused
from service.policy import Policy, Tokens
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.world import UNLIMITED

warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
from authlib.jose import JsonWebKey, JsonWebToken  # noqa: E402 - it says that joserfc follows it

BOTH: tuple[Algorithm, Algorithm] = ("ES256", "RS256")
HOUR = timedelta(hours=1)
RETIRED_FOR = timedelta(minutes=75)
Calls = Callable[..., Call]
Worker = Callable[..., Any]


def policy_of(access: Algorithm, *id_tokens: Algorithm) -> Policy:
    """Return a policy under which these algorithms are in use."""
    tokens = Tokens(algorithm=access, id_token_algorithms=id_tokens)
    return Policy(limits=UNLIMITED, tokens=tokens)


@pytest.fixture
def policy() -> Policy:
    return policy_of("ES256", "RS256")


@pytest.fixture
def operator(call: Calls) -> Calls:
    return lambda: call(actor=Operator())


@pytest.fixture
async def rt(rt: Runtime) -> AsyncIterator[Runtime]:
    """A ring of one ES256 key, made now."""
    async with rt.pg.autocommit() as tx:
        await tx.execute("TRUNCATE auth_signing_keys")
    await rt.keyring.ensure(rt.pg)
    yield rt
    async with rt.pg.autocommit() as tx:
        await tx.execute("TRUNCATE auth_signing_keys")


@pytest.fixture
async def worker(rt: Runtime, settings: Settings) -> AsyncIterator[Worker]:
    """Start another worker under a policy; its clock is the same."""
    async with AsyncExitStack() as stack:

        async def start(policy: Policy = rt.policy) -> Runtime:
            opened = open_runtime(settings, policy=policy, clock=rt.clock, passwords=rt.passwords)
            return await stack.enter_async_context(opened)

        yield start


def access_token(rt: Runtime) -> str:
    """Sign an access token as the flows do."""
    return _signed(rt, rt.keyring.signing(rt.clock.now()))


def token_by(rt: Runtime, algorithm: Algorithm) -> str:
    return _signed(rt, rt.keyring.signing_by(algorithm, rt.clock.now()))


def _signed(rt: Runtime, key: Key) -> str:
    now = int(rt.clock.now().timestamp())
    claims = {"iss": rt.settings.issuer, "sub": "svc", "aud": rt.tokens.audience, "iat": now}
    more = {"exp": now + 900, "jti": str(new(rt.clock.now())), "client_id": "svc", "scope": ""}
    return key.sign(msgspec.json.encode({**claims, **more}))


def verified_elsewhere(rt: Runtime, token: str) -> Algorithm:
    """Check a signature by what this worker publishes, with PyJWT and with Authlib."""
    header = jwt.get_unverified_header(token)
    algorithm: Algorithm = header["alg"]
    key = jwt.PyJWKSet.from_json(rt.keyring.jwks.decode())[header["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    claims = jwt.decode(token, key, algorithms=[algorithm], options=options)
    theirs = JsonWebKey.import_key_set(msgspec.json.decode(rt.keyring.jwks))
    assert JsonWebToken([algorithm]).decode(token, theirs) == claims
    return algorithm


def by(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def published(rt: Runtime) -> list[tuple[str, str]]:
    return [(key["alg"], key["kid"]) for key in msgspec.json.decode(rt.keyring.jwks)["keys"]]


async def states(rt: Runtime, operator: Calls) -> dict[Algorithm, list[State]]:
    """Return the states of the keys of each algorithm, the newest first."""
    found: dict[Algorithm, list[State]] = {}
    for key in await list_keys(rt, operator()):
        found.setdefault(key.algorithm, []).append(key.state(rt.clock.now()))
    return found


@pytest.fixture
async def both(rt: Runtime, operator: Calls) -> Runtime:
    """A ring with one key of each algorithm in use."""
    await rotate_when_due(rt, operator())
    return rt


async def test_by_default_access_tokens_alone_have_keys(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    plain = await worker(Policy(limits=UNLIMITED))
    assert await rotate_when_due(plain, operator()) == []
    assert await states(plain, operator) == {"ES256": ["active"]}


@pytest.mark.parametrize("policy", [policy_of("ES256", "EdDSA", "RS256", "ES256")], ids=["all"])
async def test_an_algorithm_that_comes_into_use_has_a_key_that_signs_at_once(
    rt: Runtime, operator: Calls
) -> None:
    first = access_token(rt)
    with pytest.raises(Refused, match="no active signing key of RS256") as caught:
        token_by(rt, "RS256")
    assert caught.value.reason is Reason.UNAVAILABLE
    made = await rotate_when_due(rt, operator())
    assert {key.algorithm for key in made} == {"RS256", "EdDSA"}
    assert await rotate_when_due(rt, operator()) == []
    for algorithm in ALGORITHMS:
        assert verified_elsewhere(rt, token_by(rt, algorithm)) == algorithm
    assert by(access_token(rt)) == by(first)
    assert await states(rt, operator) == {one: ["active"] for one in ALGORITHMS}
    told = await given.events(rt, "signing_key.published")
    assert {(e["detail"]["algorithm"], e["detail"]["scheduled"]) for e in told} == {
        ("RS256", True),
        ("EdDSA", True),
    }


async def test_of_many_workers_one_makes_the_first_key_of_an_algorithm(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    workers = [rt, await worker()]
    made = await asyncio.gather(*(rotate_when_due(one, operator()) for one in workers * 3))
    assert [key.algorithm for keys in made for key in keys] == ["RS256"]


@pytest.mark.parametrize("rotated", ["ES256", "RS256"])
async def test_a_rotation_changes_one_algorithm_at_one_moment_for_all_workers(
    both: Runtime, worker: Worker, operator: Calls, rotated: Algorithm
) -> None:
    other = await worker()
    kept: Algorithm = "RS256" if rotated == "ES256" else "ES256"
    old = token_by(both, rotated)
    stays = by(token_by(both, kept))
    made = await rotate_keys(both, operator(), rotated)
    assert made.algorithm == rotated
    with pytest.raises(Refused) as caught:
        await rotate_keys(both, operator(), rotated)
    assert caught.value.reason is Reason.CONFLICT
    await other.keyring.refresh(other.pg)
    for step, signs, shown in (
        (timedelta(), by(old), {by(old), made.kid, stays}),
        (HOUR, made.kid, {by(old), made.kid, stays}),
        (RETIRED_FOR, made.kid, {made.kid, stays}),
    ):
        both.clock.advance(step)
        for one in (both, other):
            assert {kid for _, kid in published(one)} == shown
            assert by(token_by(one, rotated)) == signs
            assert by(token_by(one, kept)) == stays
            assert jwt.get_unverified_header(access_token(one))["alg"] == "ES256"
            for algorithm in (rotated, kept):
                assert verified_elsewhere(one, token_by(one, algorithm)) == algorithm
            if by(old) in shown:
                verified_elsewhere(one, old)
        assert both.keyring.jwks == other.keyring.jwks
    await rotate_keys(both, operator(), rotated)


async def test_both_may_have_a_key_to_come_and_the_default_is_that_of_access_tokens(
    both: Runtime, operator: Calls
) -> None:
    assert (await rotate_keys(both, operator())).algorithm == "ES256"
    assert (await rotate_keys(both, operator(), "RS256")).algorithm == "RS256"
    assert await states(both, operator) == {one: ["pending", "active"] for one in BOTH}


async def test_an_algorithm_that_is_not_in_use_is_not_rotated(rt: Runtime, operator: Calls) -> None:
    with pytest.raises(Refused, match="ES256, RS256") as caught:
        await rotate_keys(rt, operator(), "EdDSA")
    assert (caught.value.reason, caught.value.fields) == (Reason.INVALID_REQUEST, ("algorithm",))
    assert await states(rt, operator) == {"ES256": ["active"]}


async def test_each_algorithm_has_its_own_ninety_days(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    plain = await worker(policy_of("ES256"))
    rt.clock.advance(timedelta(days=30))
    await rotate_when_due(rt, operator())
    rt.clock.advance(timedelta(days=60) - HOUR)
    assert [key.algorithm for key in await rotate_when_due(rt, operator())] == ["ES256"]
    assert await rotate_when_due(rt, operator()) == []
    rt.clock.advance(timedelta(days=30))
    assert [key.algorithm for key in await rotate_when_due(rt, operator())] == ["RS256"]
    assert await states(rt, operator) == {
        "ES256": ["active", "removed"],
        "RS256": ["pending", "active"],
    }
    assert await rotate_when_due(plain, operator()) == []


async def test_a_restart_finds_every_key_and_makes_none(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    await rotate_keys(both, operator(), "RS256")
    both.clock.advance(2 * HOUR)
    signed = {one: by(token_by(both, one)) for one in BOTH}
    again = await worker()
    assert await rotate_when_due(again, operator()) == []
    assert {one: by(token_by(again, one)) for one in BOTH} == signed
    assert published(again) == published(both)


# -- another algorithm for access tokens


async def test_a_new_algorithm_of_access_tokens_is_published_before_it_signs(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    """Workers of before the change sign by it too: all that matters is what the ring says."""
    before, after = await worker(policy_of("ES256")), await worker(policy_of("RS256"))
    old = access_token(before)
    assert by(access_token(after)) == by(old)
    (made,) = await rotate_when_due(after, operator())
    assert (made.algorithm, made.activates_at - made.created_at) == ("RS256", HOUR)
    assert (await rotate_keys(after, operator())).kid == made.kid
    await before.keyring.refresh(before.pg)
    seen = []
    for step in (timedelta(), 0.9 * HOUR, 0.1 * HOUR, RETIRED_FOR):
        rt.clock.advance(step)
        for one in (before, after):
            seen.append((by(access_token(one)) == by(old), len(published(one))))
            verified_elsewhere(one, access_token(one))
    assert seen == [(True, 2)] * 4 + [(False, 2)] * 2 + [(False, 1)] * 2
    assert await states(after, operator) == {"RS256": ["active"], "ES256": ["removed"]}


async def test_a_token_of_the_algorithm_before_is_good_until_it_expires(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("EdDSA"))
    await rotate_when_due(after, operator())
    rt.clock.advance(0.9 * HOUR)
    old = access_token(after)
    rt.clock.advance(timedelta(minutes=14))
    assert jwt.get_unverified_header(access_token(after))["alg"] == "EdDSA"
    assert (await verify(after, old, rt.clock.now())).client_id == "svc"
    verified_elsewhere(after, old)


async def test_the_algorithm_before_goes_on_where_id_tokens_use_it(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    """Of three it is not the youngest key that stands in, but the one nothing else uses."""
    kept, leaving = by(token_by(both, "RS256")), by(token_by(both, "ES256"))
    after = await worker(policy_of("EdDSA", "RS256"))
    assert by(access_token(after)) == leaving
    await rotate_when_due(after, operator())
    assert by(access_token(after)) == leaving
    both.clock.advance(HOUR)
    assert jwt.get_unverified_header(access_token(after))["alg"] == "EdDSA"
    assert by(token_by(after, "RS256")) == kept
    assert await states(after, operator) == {
        "EdDSA": ["active"],
        "RS256": ["active"],
        "ES256": ["retired"],
    }


async def test_an_algorithm_that_id_tokens_use_already_signs_access_tokens_from_the_start_on(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("RS256"))
    assert await rotate_when_due(after, operator()) == []
    assert by(access_token(after)) == by(token_by(both, "RS256"))
    await rotate_keys(after, operator())
    both.clock.advance(HOUR)
    assert await states(after, operator) == {
        "RS256": ["active", "retired"],
        "ES256": ["retired"],
    }


async def test_an_algorithm_that_is_in_use_no_more_ends_with_the_next_access_token_key(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("ES256"))
    assert await rotate_when_due(after, operator()) == []
    assert jwt.get_unverified_header(access_token(after))["alg"] == "ES256"
    await rotate_keys(after, operator())
    both.clock.advance(HOUR + RETIRED_FOR)
    assert [algorithm for algorithm, _ in published(after)] == ["ES256"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (policy_of("ES256"), policy_of("RS256")),
        (policy_of("ES256", "RS256"), policy_of("RS256")),
        (policy_of("ES256"), policy_of("EdDSA", "RS256")),
    ],
    ids=["disjoint", "overlapping", "three"],
)
async def test_workers_of_two_policies_always_sign_and_do_not_make_keys_without_end(
    rt: Runtime, worker: Worker, operator: Calls, one: Policy, two: Policy
) -> None:
    """A roll-out, or its reversal, or a mistake that lasts."""
    workers = [await worker(one), await worker(two)]
    for _ in range(24):
        for each in workers:
            await rotate_when_due(each, operator())
            for reader in workers:
                await reader.keyring.refresh(reader.pg)
                verified_elsewhere(reader, access_token(reader))
        rt.clock.advance(timedelta(minutes=30))
    made = Counter(key.algorithm for key in await list_keys(rt, operator()))
    assert max(made.values()) <= 12 + 2


# -- kills


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_killed_key_is_replaced_by_one_of_its_algorithm_and_the_others_go_on(
    both: Runtime, worker: Worker, operator: Calls, algorithm: Algorithm
) -> None:
    other = await worker()
    kept: Algorithm = "RS256" if algorithm == "ES256" else "ES256"
    dead, alive = token_by(both, algorithm), token_by(both, kept)
    done = await kill_key(both, operator(), by(dead))
    assert done.successor is not None
    assert done.successor.algorithm == algorithm
    fresh = token_by(both, algorithm)
    assert by(fresh) == done.successor.kid
    await other.revocations.catch_up_to(both.revocations.memory.seq)
    for one in (both, other):
        assert (await verify(one, fresh, both.clock.now())).kid == done.successor.kid
        assert (await verify(one, alive, both.clock.now())).kid == by(alive)
        with pytest.raises(Refused):
            await verify(one, dead, both.clock.now())
        assert dict(published(one)) == {algorithm: by(fresh), kept: by(alive)}
        for token in (fresh, alive):
            verified_elsewhere(one, token)


async def test_a_worker_learns_of_a_key_of_another_algorithm_by_its_kid(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    other = await worker()
    await rotate_when_due(rt, operator())
    token = token_by(rt, "RS256")
    assert "RS256" not in dict(published(other))
    assert (await verify(other, token, rt.clock.now())).kid == by(token)
    assert verified_elsewhere(other, token) == "RS256"


async def test_no_other_algorithm_stands_in_for_a_killed_key_of_access_tokens(
    both: Runtime, worker: Worker, operator: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OSError

    other = await worker()
    killed = by(access_token(other))
    monkeypatch.setattr(other.keyring, "refresh", fails)
    await kill_key(both, operator(), killed)
    await other.revocations.catch_up_to(both.revocations.memory.seq)
    with pytest.raises(Refused, match="no active signing key of ES256"):
        access_token(other)
    assert verified_elsewhere(other, token_by(other, "RS256")) == "RS256"


async def test_no_other_algorithm_stands_in_for_a_key_that_does_not_open(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    broken = by(access_token(both))
    async with both.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_signing_keys SET sealed = 'x' WHERE kid = $1", broken)
    other = await worker()
    with pytest.raises(Refused, match="no active signing key of ES256"):
        access_token(other)
    assert await rotate_when_due(other, operator()) == []
    await kill_key(other, operator(), broken)
    assert verified_elsewhere(other, access_token(other)) == "ES256"


async def test_a_killed_key_that_was_to_retire_is_replaced_for_as_long(
    both: Runtime, operator: Calls
) -> None:
    made = await rotate_keys(both, operator(), "RS256")
    done = await kill_key(both, operator(), by(token_by(both, "RS256")))
    assert done.successor is not None
    assert by(token_by(both, "RS256")) == done.successor.kid
    both.clock.advance(HOUR)
    assert by(token_by(both, "RS256")) == made.kid
    both.clock.advance(RETIRED_FOR)
    assert dict(published(both))["RS256"] == made.kid
    assert len(published(both)) == 2


async def test_a_key_of_an_algorithm_that_is_in_use_no_more_is_killed_for_good(
    both: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("ES256"))
    done = await kill_key(after, operator(), by(token_by(after, "RS256")))
    assert (done.state, done.successor) == ("active", None)
    assert [algorithm for algorithm, _ in published(after)] == ["ES256"]


async def test_a_key_killed_while_another_algorithm_is_on_its_way_has_a_successor_until_then(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("RS256"))
    (coming,) = await rotate_when_due(after, operator())
    done = await kill_key(after, operator(), by(access_token(after)))
    assert done.successor is not None
    assert done.successor.algorithm == "ES256"
    assert by(access_token(after)) == done.successor.kid
    rt.clock.advance(HOUR)
    assert by(access_token(after)) == coming.kid
    (ended,) = [key for key in await list_keys(after, operator()) if key.kid == done.successor.kid]
    assert (ended, ended.state(rt.clock.now())) == (done.successor, "retired")
    assert (ended.retires_at, ended.removes_at) == (
        coming.activates_at,
        coming.activates_at + RETIRED_FOR,
    )


async def test_a_killed_first_key_of_an_algorithm_leaves_the_one_before_to_sign_until_the_next(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    after = await worker(policy_of("RS256"))
    old = by(access_token(after))
    (coming,) = await rotate_when_due(after, operator())
    assert (await kill_key(after, operator(), coming.kid)).successor is None
    rt.clock.advance(2 * HOUR)
    assert by(access_token(after)) == old
    (next_one,) = await rotate_when_due(after, operator())
    rt.clock.advance(HOUR)
    assert by(access_token(after)) == next_one.kid


@pytest.mark.parametrize("killed", BOTH)
async def test_of_two_keys_that_begin_together_the_death_of_one_lets_the_other_take_over(
    both: Runtime, operator: Calls, killed: Algorithm
) -> None:
    """Both came due in one round, so that those they replace retire at the same moment."""
    kept: Algorithm = "RS256" if killed == "ES256" else "ES256"
    old = {one: by(token_by(both, one)) for one in BOTH}
    both.clock.advance(timedelta(days=90))
    made = {key.algorithm: key for key in await rotate_when_due(both, operator())}
    assert made["ES256"].activates_at == made["RS256"].activates_at
    assert (await kill_key(both, operator(), made[killed].kid)).successor is None
    both.clock.advance(HOUR)
    assert by(token_by(both, killed)) == old[killed]
    assert by(token_by(both, kept)) == made[kept].kid
    both.clock.advance(RETIRED_FOR)
    assert dict(published(both)) == {killed: old[killed], kept: made[kept].kid}


async def test_a_new_algorithm_that_is_taken_back_and_killed_leaves_the_one_before_to_sign(
    rt: Runtime, worker: Worker, operator: Calls
) -> None:
    old = by(access_token(rt))
    (coming,) = await rotate_when_due(await worker(policy_of("EdDSA")), operator())
    before = await worker(policy_of("ES256"))
    await kill_key(before, operator(), coming.kid)
    rt.clock.advance(2 * HOUR)
    assert by(access_token(before)) == old
