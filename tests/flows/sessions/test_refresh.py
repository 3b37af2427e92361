"""Rotation: one live token per family, retry-safe, and a replay burns (DESIGN 4.3)."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from service.domain.families.rotation import SLOW
from service.domain.revocations import Kind
from service.flows.sessions.refresh import refresh
from service.flows.sessions.sign_in import Credentials, sign_in
from service.flows.sessions.sign_out import sign_out
from service.flows.shared.authenticate import authenticate
from service.flows.shared.issuing import Granted, minter
from service.kernel import jose
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.http import asking

MOMENT = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
GRACE = 10 * SECOND
ELSEWHERE = "198.51.100.1"
DAY = timedelta(days=1)


async def enter(rt: Runtime, call: Callable[..., Call], email: str = "ada@acme.example") -> Granted:
    async with rt.pg.reading() as tx:
        known = await tx.fetchval("SELECT 1 FROM auth_users WHERE email = $1", email)
    if not known:
        await given.a_person(rt, email)
    return await sign_in(rt, call(), Credentials(email, given.PASSWORD))


async def signed_in(rt: Runtime, call: Callable[..., Call]) -> str:
    return (await enter(rt, call)).refresh_token


async def again(rt: Runtime, call: Callable[..., Call], token: str, **told: object) -> str:
    return (await refresh(rt, call(**told), token)).refresh_token


@pytest.fixture
async def frozen(rt: Runtime) -> Runtime:
    """Its time stands still, an hour ahead of the database: what is written is `call.at`."""
    rt.clock.freeze(rt.clock.now() + timedelta(hours=1))
    return rt


async def test_a_token_seen_again_after_the_grace_burns_the_family(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    entered = await enter(frozen, call)
    first = entered.refresh_token
    second = await again(frozen, call, first)
    third = await refresh(frozen, call(), second)
    frozen.clock.advance(GRACE + MOMENT)
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), first)
    with pytest.raises(Refused, match="ended"):
        await refresh(frozen, call(), third.refresh_token)
    assert await given.live_families(frozen) == 0
    assert await given.kinds(frozen) == ["sign_in.succeeded", "family.burned"]
    for token in (entered.access_token, third.access_token):
        with pytest.raises(Refused, match="revoked"):
            await authenticate(frozen, token, frozen.clock.now())
    found = frozen.revocations.memory.find_mark(Kind.SID, str(entered.grantee.session_id))
    assert found is not None


async def test_a_burned_family_takes_no_other_with_it(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    thief, other = await enter(frozen, call), await enter(frozen, call)
    bystander = await enter(frozen, call, "bob@acme.example")
    second = await again(frozen, call, thief.refresh_token)
    await again(frozen, call, second)
    frozen.clock.advance(GRACE + MOMENT)
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), thief.refresh_token)
    await again(frozen, call, other.refresh_token)
    await again(frozen, call, bystander.refresh_token)
    assert await authenticate(frozen, other.access_token, frozen.clock.now())
    assert await given.live_families(frozen) == 2


@pytest.mark.parametrize("after", [0, 1, 9, 10])
async def test_a_retry_within_the_grace_is_given_the_same_successor(
    frozen: Runtime, call: Callable[..., Call], after: int
) -> None:
    first = await signed_in(frozen, call)
    second = await again(frozen, call, first)
    frozen.clock.advance(after * SECOND)
    assert await again(frozen, call, first) == second
    assert await again(frozen, call, first, ip=ELSEWHERE) == second
    assert await again(frozen, call, second) not in (first, second)


async def test_within_the_grace_every_generation_is_given_the_current_one_whatever_was_used(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    """A browser's tabs send one cookie at once, and use what the first answer brings."""
    tokens = [await signed_in(frozen, call)]
    for _ in range(130):
        tokens.append(await again(frozen, call, tokens[-1]))
    frozen.clock.advance(GRACE)
    for token in tokens[2:-1]:
        assert await again(frozen, call, token) == tokens[-1]
    assert await given.kinds(frozen) == ["sign_in.succeeded"]
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), tokens[1])


async def test_each_generation_has_a_grace_of_its_own(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    tokens = [await signed_in(frozen, call)]
    for _ in range(4):
        tokens.append(await again(frozen, call, tokens[-1]))
        frozen.clock.advance(4 * SECOND)
    for token in tokens[2:4]:
        assert await again(frozen, call, token) == tokens[-1]
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), tokens[1])


async def test_what_arrived_within_the_grace_is_judged_so_however_late(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(frozen, call)
    early = call()
    second = await again(frozen, call, first)
    third = await again(frozen, call, second)
    frozen.clock.advance(DAY)
    assert (await refresh(frozen, early, first)).refresh_token == third


@pytest.mark.parametrize("after", [10, 59, 60])
async def test_an_answer_that_was_lost_is_given_again_for_a_minute_where_the_session_was_last_seen(
    frozen: Runtime, call: Callable[..., Call], after: int
) -> None:
    first = await signed_in(frozen, call)
    second = await again(frozen, call, first)
    frozen.clock.advance(after * SECOND + MOMENT * (after < 60))
    assert await again(frozen, call, first) == second
    assert await again(frozen, call, first) == second
    assert await given.kinds(frozen) == ["sign_in.succeeded"]
    await again(frozen, call, second)


@pytest.mark.parametrize(
    ("after", "told"),
    [(60 * SECOND, {}), (GRACE, {"ip": ELSEWHERE}), (GRACE, {"user_agent": "another"})],
    ids=["after a minute", "another network", "another agent"],
)
async def test_it_is_a_theft_after_that_minute_and_from_elsewhere_at_once_after_the_grace(
    frozen: Runtime, call: Callable[..., Call], after: timedelta, told: dict[str, object]
) -> None:
    first = await signed_in(frozen, call)
    await again(frozen, call, first)
    frozen.clock.advance(after + MOMENT)
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(**told), first)


async def test_a_lost_answer_is_none_once_its_successor_was_used(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    """But what had arrived before that is judged as of then."""
    first = await signed_in(frozen, call)
    second = await again(frozen, call, first)
    frozen.clock.advance(2 * GRACE)
    waiting = call()
    frozen.clock.advance(MOMENT)
    third = await again(frozen, call, second)
    assert (await refresh(frozen, waiting, first)).refresh_token == third
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), first)


@pytest.mark.parametrize(
    ("overrides", "good"),
    [
        ('{"lost_answer_grace": 0}', 10),
        ('{"lost_answer_grace": 600}', 600),
        ('{"refresh_grace": 30, "lost_answer_grace": 0}', 30),
        ('{"refresh_grace": 1, "lost_answer_grace": 5}', 5),
    ],
)
async def test_an_organization_says_for_how_long(
    frozen: Runtime, call: Callable[..., Call], overrides: str, good: int
) -> None:
    await given.an_organization(frozen, policy=overrides)
    first = await signed_in(frozen, call)
    second = await again(frozen, call, first)
    frozen.clock.advance(good * SECOND)
    assert await again(frozen, call, first) == second
    frozen.clock.advance(MOMENT)
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), first)


async def test_retries_do_not_prolong_the_window(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(frozen, call)
    await again(frozen, call, first)
    for _ in range(3):
        frozen.clock.advance(20 * SECOND)
        await again(frozen, call, first)
    frozen.clock.advance(MOMENT)
    with pytest.raises(Refused, match="replayed"):
        await refresh(frozen, call(), first)


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_without_a_grace_a_second_use_is_a_replay_in_parallel_too(
    frozen: Runtime, call: Callable[..., Call], at_once: int
) -> None:
    await given.an_organization(frozen, policy='{"refresh_grace": 0, "lost_answer_grace": 600}')
    first = await signed_in(frozen, call)
    answers = await asyncio.gather(
        *(refresh(frozen, call(), first) for _ in range(at_once)), return_exceptions=True
    )
    assert sum(isinstance(answer, Granted) for answer in answers) == 1
    with pytest.raises(Refused, match="replayed" if at_once == 1 else "ended"):
        await refresh(frozen, call(), first)
    assert await given.live_families(frozen) == 0
    assert await given.kinds(frozen) == ["sign_in.succeeded", "family.burned"]


async def test_a_superseded_token_is_answered_without_a_write(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    """A transaction that only holds the row would wait for a lost standby, too."""
    first = await signed_in(rt, call)
    second = await again(rt, call, first)

    async def row() -> tuple[object, ...]:
        async with rt.pg.reading() as tx:
            found = await tx.fetchrow("SELECT xmin, xmax, ctid FROM auth_families")
        assert found is not None
        return tuple(found)

    before = await row()
    assert await again(rt, call, first) == second
    assert await row() == before


@pytest.mark.parametrize("recorded", ["false", "true"], ids=["routine", "decided"])
async def test_a_commit_that_hangs_is_counted_from_its_end(
    rt: Runtime, call: Callable[..., Call], recorded: str
) -> None:
    """A trigger stands for the standby: the time is noted, and then the transaction hangs."""
    policy = f'"refresh_grace": 2, "lost_answer_grace": 0, "record_every_rotation": {recorded}'
    await given.an_organization(rt, policy=f"{{{policy}}}")
    first = await signed_in(rt, call)
    async with rt.pg.autocommit() as tx:
        await tx.execute(
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(3); RETURN NULL; END'"
        )
        await tx.execute(
            "CREATE CONSTRAINT TRIGGER hang AFTER UPDATE ON auth_families DEFERRABLE"
            " INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.generation = 1 AND NEW.generation = 2)"
            " EXECUTE FUNCTION hang()"
        )
    try:
        second = await again(rt, call, first)
        third = await again(rt, call, second)
        assert await again(rt, call, first) == third
    finally:
        async with rt.pg.autocommit() as tx:
            await tx.execute("DROP FUNCTION hang() CASCADE")


async def test_a_decision_that_waits_for_its_turn_is_not_confirmed(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    await given.an_organization(rt, policy='{"record_every_rotation": true}')
    first = await signed_in(rt, call)
    async with rt.pg.decision() as tx:
        await tx.execute("SELECT 1 FROM auth_sessions FOR UPDATE")
        renewing = asyncio.create_task(again(rt, call, first))
        await asyncio.sleep(2 * SLOW)
        assert not renewing.done()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "rotations"]
    assert await renewing != first


async def test_thirty_two_at_once_are_given_one_successor(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    answers = await asyncio.gather(*(refresh(rt, call(), first) for _ in range(32)))
    (second,) = {answer.refresh_token for answer in answers}
    await again(rt, call, second)
    assert await given.live_families(rt) == 1
    assert await given.kinds(rt) == ["sign_in.succeeded"]


async def test_after_sign_out_a_token_is_refused_and_it_is_no_theft(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    second = await again(rt, call, first)
    third = await again(rt, call, second)
    await sign_out(rt, call(), third)
    for token in (first, second, third):
        with pytest.raises(Refused, match="ended"):
            await refresh(rt, call(), token)
    assert await given.kinds(rt) == ["sign_in.succeeded", "session.ended"]


async def test_a_token_with_a_bad_mac_is_unknown_and_burns_nothing(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    handle, generation, mac = first.split(".")
    flipped = ("B" if mac[0] == "A" else "A") + mac[1:]
    stranger = minter(rt).first()[0]
    loose = mac[:-1] + chr(ord(mac[-1]) + 1)
    for token in (
        f"{handle}.{generation}.{flipped}",
        f"{handle}.2.{mac}",
        f"{handle}.0.{mac}",
        f"{handle}.01.{mac}",
        f"{handle}.-1.{mac}",
        f"{handle}.{2**40}.{mac}",
        f"{handle}.{generation}.{loose}",
        f"{handle}.{generation}.",
        f"{handle}.{generation}",
        f"{first}=",
        f"{first}\n",
        f" {first}",
        f'"{first}"',
        first[:-1],
        first + "A",
        first.swapcase(),
        stranger,
        "",
        "." * 99,
    ):
        with pytest.raises(Refused) as refused:
            await refresh(rt, call(), token)
        assert refused.value.reason is Reason.INVALID_GRANT
    await again(rt, call, first)
    assert await given.kinds(rt) == ["sign_in.succeeded"]


async def test_a_genuine_token_from_the_future_burns(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    presented = minter(rt).read(first)
    assert presented is not None
    future, _ = minter(rt).token(presented.handle, presented.generation + 5)
    with pytest.raises(Refused, match="replayed"):
        await refresh(rt, call(), future)
    assert await given.live_families(rt) == 0


async def test_nothing_in_the_database_yields_a_token(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    second = await again(rt, call, first)
    async with rt.pg.reading() as tx:
        (row,) = await tx.fetch("SELECT f::text FROM auth_families f")
    stored = row[0]
    for token in (first, second):
        handle, _, mac = token.split(".")
        for part in (handle, mac):
            assert part not in stored
            assert jose.decode(part).hex() not in stored
    random_part = jose.decode(first.partition(".")[0])
    assert hashlib.sha256(random_part).hexdigest() in stored


async def test_a_family_is_one_row_of_constant_size(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    """Routine rotations keep one time more than a new family; a burst of them 127 at most."""

    async def size() -> int:
        async with frozen.pg.autocommit() as tx:
            found: int = await tx.fetchval("SELECT sum(pg_column_size(f)) FROM auth_families f")
        return found

    token = await signed_in(frozen, call)
    began, sizes = await size(), set()
    for _ in range(5):
        frozen.clock.advance(31 * SECOND)
        token = await again(frozen, call, token)
        sizes.add(await size())
    assert len(sizes) == 1
    assert sizes.pop() - began <= 32
    sizes = set()
    for number in range(140):
        token = await again(frozen, call, token)
        if number > 126:
            sizes.add(await size())
    assert len(sizes) == 1
    assert sizes.pop() - began <= 32 + 126 * 8
    frozen.clock.advance(31 * SECOND)
    await again(frozen, call, token)
    assert await size() - began <= 32


async def test_an_idle_session_ends_a_used_one_does_not(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    idle = await signed_in(frozen, call)
    used = (await enter(frozen, call)).refresh_token
    for _ in range(3):
        frozen.clock.advance(3 * DAY)
        used = await again(frozen, call, used)
    with pytest.raises(Refused, match="expired"):
        await refresh(frozen, call(), idle)
    assert await given.kinds(frozen) == ["sign_in.succeeded"] * 2


async def test_no_use_carries_a_session_beyond_its_absolute_end(
    frozen: Runtime, call: Callable[..., Call], client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(frozen)
    began = frozen.clock.now()
    answer = await asking.sign_in(client, ada)
    ends = {began + asking.max_age(answer) * SECOND}
    for _ in range(50):
        frozen.clock.advance(0.59 * DAY)
        answer = await asking.renew(client)
        assert answer.status_code == 200
        ends.add(frozen.clock.now() + asking.max_age(answer) * SECOND)
    assert ends == {began + 30 * DAY}
    frozen.clock.advance(began + 30 * DAY - frozen.clock.now() - SECOND)
    answer = await asking.renew(client)
    assert asking.max_age(answer) == answer.json()["expires_in"] == 1
    token = asking.cookie(answer)
    frozen.clock.advance(SECOND)
    assert (await asking.renew(client, token)).status_code == 401


async def test_an_expired_token_is_no_theft(frozen: Runtime, call: Callable[..., Call]) -> None:
    first = await signed_in(frozen, call)
    second = await again(frozen, call, first)
    await again(frozen, call, second)
    frozen.clock.advance(31 * DAY)
    with pytest.raises(Refused, match="expired"):
        await refresh(frozen, call(), first)
    assert await given.kinds(frozen) == ["sign_in.succeeded"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth_users SET disabled_at = now()",
        "UPDATE auth_organizations SET disabled_at = now()",
        "DELETE FROM auth_memberships",
    ],
)
async def test_who_may_no_longer_act_is_refused_current_token_or_retry(
    rt: Runtime, call: Callable[..., Call], statement: str
) -> None:
    first = await signed_in(rt, call)
    second = await again(rt, call, first)
    async with rt.pg.autocommit() as tx:
        await tx.execute(statement)
    for token in (first, second):
        with pytest.raises(Refused, match="may not act"):
            await refresh(rt, call(), token)


async def test_a_role_that_changed_is_in_the_next_token(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_memberships SET role = 'auditor'")
    renewed = await refresh(rt, call(), first)
    claims = rt.tokens.verify(renewed.access_token, rt.clock.now())
    assert (claims.roles, claims.scope) == (("auditor",), "")


async def test_a_renewed_token_keeps_session_and_time_of_sign_in(
    frozen: Runtime, call: Callable[..., Call]
) -> None:
    entered = await enter(frozen, call)
    frozen.clock.advance(3600 * SECOND)
    renewed = await refresh(frozen, call(), entered.refresh_token)
    before = frozen.tokens.verify(entered.access_token, frozen.clock.now() - 3600 * SECOND)
    after = frozen.tokens.verify(renewed.access_token, frozen.clock.now())
    assert (before.sid, before.auth_time, before.sub) == (after.sid, after.auth_time, after.sub)
    assert before.jti != after.jti
    assert after.iat - before.iat == 3600


async def test_another_network_or_agent_writes_one_event_a_routine_rotation_none(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    token = await signed_in(rt, call)
    for ip in ("192.0.2.1", "192.0.2.77"):  # one /24
        token = await again(rt, call, token, ip=ip)
    assert await given.kinds(rt) == ["sign_in.succeeded"]
    for told in (
        {"ip": "198.51.100.1"},
        {"ip": "198.51.100.1"},
        {"ip": "2001:db8::1"},
        {"ip": "2001:db8::2"},
        {"ip": "2001:db8::2", "user_agent": "another"},
        {"ip": "2001:db8::2", "user_agent": "another"},
    ):
        token = await again(rt, call, token, **told)
    moved = await given.events(rt, "session.moved")
    assert [event["detail"]["network_now"] for event in moved] == [
        "198.51.100.0/24",
        "2001:db8::/64",
        "2001:db8::/64",
    ]
    assert [event["detail"]["agent_changed"] for event in moved] == [False, False, True]
    async with rt.pg.reading() as tx:
        last = await tx.fetchrow("SELECT last_ip, last_agent FROM auth_families")
    assert last is not None
    assert tuple(last) == ("2001:db8::2", "another")


async def test_an_organization_may_ask_for_an_event_of_every_rotation(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    await given.an_organization(rt, policy='{"record_every_rotation": true}')
    await given.a_person(rt, "quiet@other.example", slug="other")
    token = await signed_in(rt, call)
    quiet = (await enter(rt, call, "quiet@other.example")).refresh_token
    for _ in range(3):
        token, quiet = await again(rt, call, token), await again(rt, call, quiet)
    rotated = await given.events(rt, "token.rotated")
    assert [event["detail"]["generation"] for event in rotated] == [2, 3, 4]


async def test_an_expired_bearer_token_sent_along_does_not_stop_a_refresh(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    ada = await given.a_person(rt)
    answer = await asking.sign_in(client, ada)
    rt.clock.advance(timedelta(hours=1))
    renewed = await client.post("/auth/refresh", json={}, headers=asking.bearer(answer))
    assert renewed.status_code == 200
