"""Checking a key: what a worker may remember, and when it may not rely on it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from service.domain import apikeys
from service.domain.apikeys import KeyText, Why
from service.flows.apikeys.create import NewKey, create_key
from service.flows.apikeys.issuing import IssuedKey
from service.flows.apikeys.revoke import revoke_key
from service.flows.apikeys.rotate import rotate_key
from service.flows.people.erase_person import erase_person
from service.flows.shared.api_key_check import UNKNOWN, Shown, check_key
from service.flows.shared.bearer import authenticate_caller
from service.flows.upkeep.api_keys import end_expired_keys, settle_keys
from service.kernel.call import Call, Operator, Person
from service.kernel.ids import SessionId, TenantId
from service.kernel.postgres import Postgres
from service.kernel.refusal import Reason, Refused
from service.policy import Limit, Policy
from service.runtime import Runtime, open_runtime
from service.settings import Settings
from tests import given
from tests.world import UNLIMITED

Calls = Callable[..., Call]
NEW = NewKey(name="a machine", scopes=("agentes",))


@pytest.fixture
async def owner(rt: Runtime, call: Calls) -> Person:
    made = await given.a_person(rt, role="owner")
    return Person(
        user_id=made.user_id,
        tenant_id=made.tenant_id,
        session_id=SessionId(made.user_id),
        client_id="console",
        roles=("owner",),
        scopes=("agentes", "proxy-ollama"),
        expires_at=rt.clock.now() + timedelta(hours=1),
    )


@pytest.fixture
async def issued(rt: Runtime, call: Calls, owner: Person) -> IssuedKey:
    return await create_key(rt, call(actor=owner), NEW)


async def ask(rt: Runtime, call: Call, key: str) -> Why | None:
    return (await check_key(rt, call, Shown(text=key, address=call.ip))).why


async def test_a_stale_worker_asks_before_it_believes_itself(
    rt: Runtime, settings: Settings, policy: Policy, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    """Its own loops dead, a key revoked by another worker: still refused, never let in."""
    assert await ask(rt, call(), issued.secret) is None
    await rt.revocations.stop()
    async with open_runtime(settings, policy=policy, passwords=rt.passwords) as other:
        await revoke_key(other, call(actor=owner), issued.key.key_id)
        while rt.revocations.is_fresh():
            await asyncio.sleep(0.05)
        assert await ask(rt, call(), issued.secret) is Why.REVOKED


async def test_a_stale_worker_that_can_ask_nobody_says_nothing(
    rt: Runtime, call: Calls, issued: IssuedKey
) -> None:
    assert await ask(rt, call(), issued.secret) is None
    await rt.revocations.stop()
    await rt.pg.close()
    while rt.revocations.is_fresh():
        await asyncio.sleep(0.05)
    await rt.redis.client.flushdb()
    with pytest.raises(Refused) as refused:
        await ask(rt, call(), issued.secret)
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_a_worker_that_remembered_a_key_before_its_rotation_lets_go_with_the_overlap(
    rt: Runtime, settings: Settings, policy: Policy, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    """Its memory holds no expiry; what another worker puts on the feed ends it all the same."""
    assert await ask(rt, call(), issued.secret) is None
    async with open_runtime(settings, policy=policy, passwords=rt.passwords) as other:
        await rotate_key(other, call(actor=owner), issued.key.key_id, 1)
        assert await ask(rt, call(), issued.secret) is None
        while not await _ended(rt):
            await end_expired_keys(other)
            await asyncio.sleep(0.05)
        deadline = rt.clock.monotonic() + 1.0
        while await ask(rt, call(), issued.secret) is None:
            assert rt.clock.monotonic() < deadline, "still good a second after the overlap"
            await asyncio.sleep(0.01)


async def test_without_the_feed_s_news_that_memory_would_have_gone_on(
    rt: Runtime, settings: Settings, policy: Policy, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    """The witness of the test above: memory alone does not know of the new expiry."""
    assert await ask(rt, call(), issued.secret) is None
    async with open_runtime(settings, policy=policy, passwords=rt.passwords) as other:
        await rotate_key(other, call(actor=owner), issued.key.key_id, 1)
    rt.clock.advance(timedelta(seconds=2))
    assert await ask(rt, call(), issued.secret) is None


async def test_what_is_remembered_is_read_again_before_the_feed_forgets(
    rt: Runtime, call: Calls, issued: IssuedKey
) -> None:
    """A revocation that left the feed is not outlived by a verdict."""
    assert await ask(rt, call(), issued.secret) is None
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_api_keys")
    assert await ask(rt, call(), issued.secret) is None
    rt.clock.advance(timedelta(minutes=5))
    assert await ask(rt, call(), issued.secret) is Why.UNKNOWN


async def test_two_keys_whose_public_ids_share_all_but_a_letter_both_work(
    rt: Runtime, call: Calls, owner: Person, issued: IssuedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = issued.key.public_id[-1]
    twin = issued.key.public_id[:-1] + ("a" if last != "a" else "b")
    fresh = apikeys.new_text()
    # The first draw is taken already: nobody gets another's public id.
    drawn = iter([KeyText(issued.key.public_id, fresh.secret), KeyText(twin, fresh.secret)])
    monkeypatch.setattr("service.domain.apikeys.new_text", lambda: next(drawn))
    second = await create_key(rt, call(actor=owner), NEW)
    assert second.key.public_id == twin
    for key, mine in ((issued.secret, issued), (second.secret, second)):
        checked = await check_key(rt, call(), Shown(text=key, address=None))
        assert checked.key is not None
        assert (checked.why, checked.key.key_id) == (None, mine.key.key_id)


async def test_two_who_end_a_key_at_once_leave_one_event(
    rt: Runtime, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    acts = [revoke_key(rt, call(actor=owner), issued.key.key_id) for _ in range(8)]
    await asyncio.gather(*acts)
    assert len(await given.events(rt, "api_key.revoked")) == 1


async def test_two_rotations_at_once_make_one_successor(
    rt: Runtime, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    acts = [rotate_key(rt, call(actor=owner), issued.key.key_id, 60) for _ in range(6)]
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    assert sum(isinstance(one, IssuedKey) for one in outcomes) == 1
    reasons = {one.reason for one in outcomes if isinstance(one, Refused)}
    assert reasons == {Reason.CONFLICT}


async def test_checks_racing_a_revocation_are_never_good_afterwards(
    rt: Runtime, call: Calls, owner: Person
) -> None:
    for _ in range(10):
        made = await create_key(rt, call(actor=owner), NEW)
        racing = [ask(rt, call(), made.secret) for _ in range(10)]
        await asyncio.gather(*racing, revoke_key(rt, call(actor=owner), made.key.key_id))
        assert await ask(rt, call(), made.secret) is Why.REVOKED


async def test_many_unknown_keys_share_round_trips(
    rt: Runtime, call: Calls, trips: list[int]
) -> None:
    one = apikeys.new_text().written()
    keys = [one] * 200 + [apikeys.new_text().written() for _ in range(200)]
    told = await asyncio.gather(*(ask(rt, call(), key) for key in keys))
    assert set(told) == {Why.UNKNOWN}
    assert len(trips) <= 10


async def test_whoever_presents_bad_keys_as_their_own_is_held_up_and_others_are_not(
    settings: Settings, rt: Runtime, call: Calls, issued: IssuedKey
) -> None:
    strict = replace(rt.policy, limits=replace(UNLIMITED, key_failures=Limit(5, 60)))
    async with open_runtime(settings, policy=strict, passwords=rt.passwords) as door:
        reasons = []
        for _ in range(8):
            with pytest.raises(Refused) as refused:
                await authenticate_caller(door, call(), apikeys.new_text().written())
            reasons.append(refused.value.reason)
        assert reasons == [Reason.UNAUTHENTICATED] * 5 + [Reason.TOO_MANY] * 3
        assert refused.value.retry_after in range(1, 61)
        elsewhere = call(ip="198.51.100.7")
        assert await authenticate_caller(door, elsewhere, issued.secret)
        # What is remembered as good is let in from the same address as well.
        assert await authenticate_caller(door, call(), issued.secret)


async def test_creations_are_limited_by_person(
    settings: Settings, rt: Runtime, call: Calls, owner: Person
) -> None:
    async with open_runtime(settings, policy=Policy(), passwords=rt.passwords) as door:
        for _ in range(30):
            await create_key(door, call(actor=owner), NEW)
        with pytest.raises(Refused) as refused:
            await create_key(door, call(actor=owner), NEW)
        assert (refused.value.reason, bool(refused.value.retry_after)) == (Reason.TOO_MANY, True)


async def test_another_organization_s_service_leaves_no_trace_on_a_key(
    rt: Runtime, call: Calls, issued: IssuedKey
) -> None:
    """Neither a use nor an event in the trail of whose key it is, remembered here or not."""
    elsewhere = TenantId(uuid4())
    for _ in range(2):
        shown = Shown(text=issued.secret, address=None, to=elsewhere)
        assert await check_key(rt, call(), shown) == UNKNOWN
        assert await ask(rt, call(), issued.secret) is None
    await settle_keys(rt)
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT use_count FROM auth_api_keys") == 2
    (told,) = await given.events(rt, "api_key.refused")
    assert (told["tenant_id"], told["detail"]["count"]) == (None, 2)
    assert told["detail"].get("key_id") is None


async def test_a_key_refused_before_its_owner_was_erased_tells_of_no_address_afterwards(
    rt: Runtime, call: Calls, owner: Person
) -> None:
    """What is recorded in the background, too, is about somebody: the owner of a key."""
    await given.a_person(rt, "second@acme.example", role="owner")
    new = NewKey(name="a machine", scopes=("agentes",), networks=("192.0.2.1",))
    key = (await create_key(rt, call(actor=owner), new)).secret
    elsewhere = Shown(text=key, address="198.51.100.77")
    await check_key(rt, call(ip="198.51.100.77"), elsewhere)
    await settle_keys(rt)
    await check_key(rt, call(ip="198.51.100.77"), elsewhere)
    await erase_person(rt, call(actor=Operator(), ip=None, user_agent=""), owner.user_id)
    await settle_keys(rt)
    told = await given.events(rt, "api_key.refused")
    assert [(one["user_id"], one["ip"], one["user_agent"]) for one in told] == [
        (owner.user_id, None, "")
    ] * 2


async def test_a_no_costs_one_query_whatever_it_is_for(
    rt: Runtime, call: Calls, owner: Person, trips: list[int]
) -> None:
    """Else the time would tell whoever found a key that it is one, and only not good from there."""
    new = NewKey(name="a machine", scopes=("agentes",), networks=("192.0.2.1",))
    key = (await create_key(rt, call(actor=owner), new)).secret
    assert await ask(rt, call(), key) is None
    for shown in (
        Shown(text=key, address="198.51.100.1"),
        Shown(text=key, address=None),
        Shown(text=key, address="192.0.2.1", to=TenantId(uuid4())),
        Shown(text=apikeys.new_text().written(), address="192.0.2.1"),
    ):
        trips.clear()
        assert (await check_key(rt, call(), shown)).good is None
        assert trips == [1]
    trips.clear()
    assert await ask(rt, call(), key) is None
    assert trips == []


async def test_a_rotation_by_a_worker_whose_clock_is_a_hair_behind(
    rt: Runtime, call: Calls, owner: Person, issued: IssuedKey
) -> None:
    earlier = issued.key.created_at - timedelta(milliseconds=20)
    made = await rotate_key(rt, call(actor=owner, at=earlier), issued.key.key_id, 0)
    assert await ask(rt, call(), issued.secret) is Why.REVOKED
    assert await ask(rt, call(), made.secret) is None


async def test_uses_survive_a_database_that_was_away(
    rt: Runtime, call: Calls, issued: IssuedKey
) -> None:
    for _ in range(4):
        await ask(rt, call(), issued.secret)
        await ask(rt, call(), "tsk_garbage")
    pool = rt.pg._pool
    closed = await Postgres.connect(rt.settings.database_url, rt.settings.database_schema)
    await closed.close()
    rt.pg._pool = closed._pool
    with pytest.raises(Refused):
        await settle_keys(rt)
    rt.pg._pool = pool
    await settle_keys(rt)
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT use_count FROM auth_api_keys") == 4
    assert [e["detail"]["count"] for e in await given.events(rt, "api_key.refused")] == [4]


@pytest.fixture
def trips(rt: Runtime) -> list[int]:
    """Round trips to read keys: of how many each."""
    seen: list[int] = []
    read = rt.apikeys._read

    async def counted(asked: list[object]) -> list[object]:
        seen.append(len(asked))
        return await read(asked)  # type: ignore[arg-type,return-value]

    rt.apikeys._reads._ask = counted  # type: ignore[assignment]
    return seen


async def _ended(rt: Runtime) -> bool:
    async with rt.pg.reading() as tx:
        found: bool = await tx.fetchval("SELECT bool_or(ended_at IS NOT NULL) FROM auth_api_keys")
    return found
