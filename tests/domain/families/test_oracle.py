"""Hot path and model are one: `rotate` answers what is routine, and leaves all else alone.

What it is asked here arrives years ahead of the database's clock: a token is never superseded
before the request arrived that did it, so these are the times in the row.
"""

import asyncio
import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.domain import families
from service.domain.families import Family, Grace, Minter, PresentedToken, State, Where
from service.domain.families.rotation import SLOW
from service.kernel.refusal import Refused, unavailable
from service.policy import Tokens
from service.runtime import Runtime
from tests import given as world

AT = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GRACE = 10 * SECOND
NETWORKS = [None, "192.0.2.0/24", "198.51.100.0/24"]
AGENTS = ["", "tests"]
LONGEST = timedelta(
    seconds=msgspec.json.schema(Tokens)["$defs"]["Tokens"]["properties"]["refresh_grace"]["maximum"]
)
"""The longest grace that a policy may give."""

BOUND = 127
SESSION = UUID(int=7)
MINTER = Minter(os.urandom(32))

seconds = st.sampled_from([-3600, -11, -10, -1, 0, 1, 3600]).map(lambda n: timedelta(seconds=n))
mostly_no = st.sampled_from([False] * 5 + [True])
rows = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["live"] * 4 + ["ended", "burned"]),
        "generation": st.integers(1, 4),
        "rotated_at": seconds.map(lambda by: AT + by),
        "idle_expires_at": st.sampled_from([AT, AT + GRACE, AT + 60 * GRACE, AT + 61 * GRACE]),
        "absolute_expires_at": st.sampled_from(
            [AT, AT + GRACE, AT + 600 * GRACE, AT + 601 * GRACE]
        ),
        "superseded": st.lists(seconds.map(lambda by: AT + by), max_size=3),
        "last_network": st.sampled_from(NETWORKS),
        "last_agent": st.sampled_from(AGENTS),
        "recorded": mostly_no,
    }
)
against = st.sampled_from(
    [None] * 8
    + [
        "auth_sessions SET ended_why = 'signed_out', ended_at = $1",
        "auth_users SET disabled_at = $1",
        "auth_organizations SET disabled_at = $1",
        "auth_memberships SET disabled_at = $1",
        "auth_clients SET disabled_at = $1 WHERE client_id = 'app'",
        "auth_clients SET grant_types = '{}', created_at = $1 WHERE client_id = 'app'",
    ]
)


async def stored(rt: Runtime) -> dict[str, Any]:
    async with rt.pg.reading() as tx:
        row = await tx.fetchrow("SELECT * FROM auth_families")
    assert row is not None
    return dict(row)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    row=rows,
    against=against,
    behind=st.sampled_from([0, 0, 0, 0, 1, 2, -1]),
    elsewhere=st.sampled_from([{}] * 5 + [{"network": n} for n in NETWORKS] + [{"agent": "x"}]),
    by=st.sampled_from(["app"] * 5 + ["console"]),
    roles=st.sampled_from([None] * 5 + [("owner", "member"), ("owner", "admin"), ()]),
)
async def test_rotate_answers_exactly_what_the_model_calls_routine(
    rt: Runtime,
    row: dict[str, Any],
    against: str | None,
    behind: int,
    elsewhere: dict[str, Any],
    by: str,
    roles: tuple[str, ...] | None,
) -> None:
    handle = os.urandom(24)
    presented = MINTER.token(handle, max(1, row["generation"] - behind))[1]
    successor = MINTER.token(handle, presented.generation + 1)[1]
    here = {"ip": "192.0.2.9", "network": row["last_network"], "agent": row["last_agent"]}
    where = Where(**{**here, **elsewhere})
    await begin(rt, handle, row, against)

    before = await stored(rt)
    async with rt.pg.decision() as tx:
        family = await families.lock(tx, presented.handle_hash)
        stands = await families.find_standing(tx, SESSION)  # type: ignore[arg-type]
    assert family is not None
    routine = (
        family.state(presented, AT, where, Grace(GRACE, GRACE)) is State.CURRENT
        and not family.moved(where)
        and not family.recorded
        and stands is not None
        and family.client_id == by
        and (roles is None or stands.role in roles)
    )
    event(f"routine: {routine}")
    answered = await rt.rotations.rotate(presented, successor, AT, where, by, roles)

    assert (answered is not None) == routine
    after = await stored(rt)
    if not routine:
        assert after == before
        return
    assert after == before | {
        "generation": row["generation"] + 1,
        "token_hash": successor.token_hash,
        "rotated_at": AT,
        "superseded": [
            *(row["superseded"] if row["rotated_at"] > AT - LONGEST else []),
            row["rotated_at"],
        ],
        "idle_expires_at": min(AT + before["idle_ttl"], row["absolute_expires_at"]),
        "last_ip": "192.0.2.9",
    }


async def test_the_plain_rotation_leaves_the_same_row_as_the_hot_one(rt: Runtime) -> None:
    row = {
        "status": "live",
        "generation": 3,
        "rotated_at": AT - GRACE,
        "superseded": [AT - 2 * GRACE],
        "idle_expires_at": AT + GRACE,
        "absolute_expires_at": AT + 10 * GRACE,
        "last_network": NETWORKS[1],
        "last_agent": "tests",
        "recorded": False,
    }
    where = Where("192.0.2.9", NETWORKS[1], "tests")
    handle = os.urandom(24)
    presented, successor = MINTER.token(handle, 3)[1], MINTER.token(handle, 4)[1]
    await begin(rt, handle, row)
    assert await rt.rotations.rotate(presented, successor, AT, where, "app")
    hot = await stored(rt)
    await begin(rt, handle, row)
    await advance(rt, presented, successor, AT, where)
    assert await stored(rt) == hot


@pytest.mark.parametrize("plainly", [False, True])
@pytest.mark.parametrize(
    ("pause", "kept"), [(LONGEST - timedelta(microseconds=1), 3), (LONGEST, 0)]
)
async def test_the_times_are_kept_for_the_longest_grace_of_a_policy(
    rt: Runtime, pause: timedelta, kept: int, *, plainly: bool
) -> None:
    handle, where = os.urandom(24), Where("192.0.2.9", NETWORKS[1], "tests")
    await begin(rt, handle, STEADY | {"rotated_at": AT - pause})
    presented, successor = (MINTER.token(handle, generation)[1] for generation in (9, 10))
    if plainly:
        await advance(rt, presented, successor, AT, where)
    else:
        assert await rt.rotations.rotate(presented, successor, AT, where, "app")
    assert (await stored(rt))["superseded"] == [*STEADY["superseded"][:kept], AT - pause]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    pauses=st.lists(
        st.sampled_from([0.0, 0.001, 0.2, 1.0, 5.0, 29.9, 30.0, 30.1, 4000.0]), max_size=12
    ),
    burst=st.sampled_from([0, 0, 126, 127, 128, 140]),
    plainly=st.booleans(),
)
async def test_the_row_remembers_a_bounded_number_of_times_and_all_of_the_longest_grace(
    rt: Runtime,
    pauses: list[float],
    burst: int,
    plainly: bool,  # noqa: FBT001 - drawn
) -> None:
    at, handle, where = AT, os.urandom(24), Where("192.0.2.9", NETWORKS[1], "tests")
    row = {
        "status": "live",
        "generation": 1,
        "rotated_at": at,
        "idle_ttl": 10_000 * GRACE,
        "idle_expires_at": AT + 10_000 * GRACE,
        "absolute_expires_at": AT + 10_000 * GRACE,
        "last_network": NETWORKS[1],
        "last_agent": "tests",
    }
    await begin(rt, handle, row)
    times: dict[int, datetime] = {}
    for generation, pause in enumerate(pauses + [0.01] * burst + pauses[:3], 1):
        at += timedelta(seconds=pause)
        times[generation] = at
        presented, successor = (MINTER.token(handle, generation + n)[1] for n in (0, 1))
        if plainly and generation % 2:
            await advance(rt, presented, successor, at, where)
        else:
            assert await rt.rotations.rotate(presented, successor, at, where, "app")
    async with rt.pg.reading() as tx:
        family = await families.find(tx, MINTER.token(handle, 1)[1].handle_hash)
    assert family is not None
    assert len(family.superseded) <= BOUND
    for generation, time in times.items():
        told = family.superseded_at(generation)
        remembered = time > at - LONGEST and family.generation - generation <= BOUND + 1
        assert told == time or (told is None and not remembered)
    if len(times) > 1:
        assert family.superseded_at(family.generation - 2) is not None


async def settled(rt: Runtime, row: dict[str, Any], generation: int, at: datetime) -> Family:
    """Tell of a rotation that hung, as a worker does, and return the row."""
    handle = os.urandom(24)
    await begin(rt, handle, STEADY | row)
    asked = families.ToRotate(MINTER.token(handle, generation)[1], at)
    with contextlib.suppress(Refused):
        async with rt.rotations.confirming([asked]) as sent:
            sent()
            raise unavailable("its commit hangs")
    await rt.rotations.confirmed()
    async with rt.pg.reading() as tx:
        family = await families.find(tx, asked.presented.handle_hash)
    assert family is not None
    return family


async def test_a_rotation_that_hung_counts_from_its_end(rt: Runtime) -> None:
    before = rt.clock.now()
    began = before - 40 * SECOND
    family = await settled(rt, {"rotated_at": began}, 8, began - SECOND)
    assert family.rotated_at >= before - SECOND
    assert family.superseded == STEADY["superseded"]


@pytest.mark.parametrize("generation", [5, 6, 7])
async def test_where_its_successor_was_used_meanwhile_it_counts_from_that(
    rt: Runtime, generation: int
) -> None:
    times = (*STEADY["superseded"], STEADY["rotated_at"])
    family = await settled(rt, {}, generation, AT - 900 * SECOND)
    expected = list(times)
    expected[generation - 5] = times[generation - 4]
    assert (*family.superseded, family.rotated_at) == tuple(expected)


@pytest.mark.parametrize("generation", [1, 4, 9, 10])
async def test_what_is_not_remembered_or_did_not_rotate_stays(rt: Runtime, generation: int) -> None:
    family = await settled(rt, {}, generation, AT - 900 * SECOND)
    assert family.superseded == STEADY["superseded"]
    assert family.rotated_at == STEADY["rotated_at"]


@pytest.mark.parametrize("generation", [5, 6, 7, 8])
async def test_what_was_superseded_before_the_request_arrived_was_another_s_doing(
    rt: Runtime, generation: int
) -> None:
    """A copy that is presented while the server hangs does not become young by it."""
    began = rt.clock.now() - 40 * SECOND
    times = (began - 3 * SECOND, began - 2 * SECOND, began - SECOND)
    row = {"superseded": times, "rotated_at": began}
    family = await settled(rt, row, generation, began + SECOND)
    assert (family.superseded, family.rotated_at) == (times, began)


def confirming() -> int:
    """Count what confirms rotations at this moment."""
    return sum(task.get_name() == "rotations" for task in asyncio.all_tasks())


async def test_a_rotation_that_waited_long_for_a_connection_is_not_confirmed(rt: Runtime) -> None:
    where = Where("192.0.2.9", NETWORKS[1], "tests")
    handle = os.urandom(24)
    await begin(rt, handle, STEADY)
    presented, successor = (MINTER.token(handle, generation)[1] for generation in (9, 10))
    async with contextlib.AsyncExitStack() as all_connections:
        for _ in range(12):
            await all_connections.enter_async_context(rt.pg.reading())
        rotating = asyncio.create_task(rt.rotations.rotate(presented, successor, AT, where, "app"))
        await asyncio.sleep(2 * SLOW)
        assert not rotating.done()
        assert confirming() == 0
    assert await rotating


async def test_what_was_never_sent_for_want_of_a_connection_is_not_confirmed(rt: Runtime) -> None:
    asked = families.ToRotate(MINTER.token(os.urandom(24), 9)[1], AT)
    where = Where("192.0.2.9", NETWORKS[1], "tests")
    await rt.pg._pool.close()  # as when the server is gone: every use of the pool fails
    with pytest.raises(Refused):
        await rt.rotations.rotate(asked.presented, asked.presented, AT, where, "app")
    with pytest.raises(Refused):
        async with rt.rotations.confirming([asked]) as sent, rt.pg.decision():
            sent()
    assert confirming() == 0


async def test_few_confirmations_hang_at_once(rt: Runtime) -> None:
    async def hang(*most: int) -> None:
        asked = families.ToRotate(MINTER.token(os.urandom(24), 9)[1], AT)
        async with rt.rotations.confirming([asked], *most) as sent:
            sent()
            await over.wait()

    over = asyncio.Event()
    decisions = [asyncio.create_task(hang()) for _ in range(20)]
    await asyncio.sleep(2 * SLOW)
    assert confirming() == 4
    flights = [asyncio.create_task(hang(6)) for _ in range(2)]
    await asyncio.sleep(2 * SLOW)
    assert confirming() == 6
    over.set()
    await asyncio.gather(*decisions, *flights)


STEADY: dict[str, Any] = {
    "status": "live",
    "generation": 9,
    "rotated_at": AT,
    "superseded": (AT - 600 * SECOND, AT - 500 * SECOND, AT - 400 * SECOND),
    "idle_expires_at": AT + GRACE,
    "absolute_expires_at": AT + 10 * GRACE,
    "last_network": NETWORKS[1],
    "last_agent": "tests",
}


async def advance(
    rt: Runtime, presented: PresentedToken, successor: PresentedToken, at: datetime, where: Where
) -> None:
    """Rotate the plain way."""
    async with rt.pg.decision() as tx:
        family = await families.lock(tx, presented.handle_hash)
        assert family is not None
        await families.advance(tx, family, successor, at, where)


async def begin(
    rt: Runtime, handle: bytes, row: dict[str, Any], against: str | None = None
) -> None:
    """Put one person, session and family there, and nothing else."""
    current = MINTER.token(handle, row["generation"])[1]
    async with rt.pg.decision() as tx:
        await tx.execute(
            "DELETE FROM auth_users; DELETE FROM auth_organizations;"
            " DELETE FROM auth_clients WHERE client_id = 'app';"
            " INSERT INTO auth_clients (client_id, name, scopes, token_endpoint_auth_method,"
            " grant_types, created_at)"
            " VALUES ('app', 'App', '{}', 'none', '{refresh_token}', now())"
        )
    person = await world.a_person(rt)
    async with rt.pg.decision() as tx:
        await tx.execute(
            "INSERT INTO auth_sessions (session_id, tenant_id, user_id, client_id, amr, auth_time,"
            " created_at, expires_at) VALUES ($1, $2, $3, 'app', '{pwd}', $4, $4, $4)",
            SESSION,
            person.tenant_id,
            person.user_id,
            AT,
        )
        row = {"idle_ttl": 3 * GRACE} | row
        names = ["handle_hash", "session_id", "token_hash", *row]
        values = [current.handle_hash, SESSION, current.token_hash, *row.values()]
        marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
        await tx.execute(
            f"INSERT INTO auth_families ({', '.join(names)}) VALUES ({marks})", *values
        )
        if against is not None:
            await tx.execute(f"UPDATE {against}", AT - GRACE)
