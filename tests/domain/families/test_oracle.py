"""Hot path and model are one: `rotate` answers what is routine, and leaves all else alone."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.domain import families
from service.domain.families import Minter, State, Where
from service.runtime import Runtime
from tests import given as world

AT = datetime(2030, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=10)
NETWORKS = [None, "192.0.2.0/24", "198.51.100.0/24"]
AGENTS = ["", "tests"]
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
        "last_network": st.sampled_from(NETWORKS),
        "last_agent": st.sampled_from(AGENTS),
        "recorded": mostly_no,
    }
)
against = st.sampled_from(
    [None] * 8
    + [
        "auth_sessions SET ended_why = 'signed_out', ended_at",
        "auth_users SET disabled_at",
        "auth_organizations SET disabled_at",
        "auth_memberships SET disabled_at",
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
)
async def test_rotate_answers_exactly_what_the_model_calls_routine(
    rt: Runtime,
    row: dict[str, Any],
    against: str | None,
    behind: int,
    elsewhere: dict[str, Any],
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
        family.state(presented, AT, GRACE) is State.CURRENT
        and not family.moved(where)
        and not family.recorded
        and stands is not None
    )
    event(f"routine: {routine}")
    answered = await rt.rotations.rotate(presented, successor, AT, where)

    assert (answered is not None) == routine
    after = await stored(rt)
    if not routine:
        assert after == before
        return
    assert after == before | {
        "generation": row["generation"] + 1,
        "token_hash": successor.token_hash,
        "rotated_at": AT,
        "idle_expires_at": min(AT + before["idle_ttl"], row["absolute_expires_at"]),
        "last_ip": "192.0.2.9",
    }


async def test_the_plain_rotation_leaves_the_same_row_as_the_hot_one(rt: Runtime) -> None:
    row = {
        "status": "live",
        "generation": 3,
        "rotated_at": AT - GRACE,
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
    assert await rt.rotations.rotate(presented, successor, AT, where)
    hot = await stored(rt)
    await begin(rt, handle, row)
    async with rt.pg.decision() as tx:
        family = await families.lock(tx, presented.handle_hash)
        assert family is not None
        await families.advance(tx, family, successor, AT, where)
    assert await stored(rt) == hot


async def begin(
    rt: Runtime, handle: bytes, row: dict[str, Any], against: str | None = None
) -> None:
    """Put one person, session and family there, and nothing else."""
    current = MINTER.token(handle, row["generation"])[1]
    async with rt.pg.decision() as tx:
        await tx.execute("TRUNCATE auth_users, auth_organizations CASCADE")
    person = await world.a_person(rt)
    async with rt.pg.decision() as tx:
        await tx.execute(
            "INSERT INTO auth_sessions (session_id, tenant_id, user_id, client_id, amr, auth_time,"
            " created_at, expires_at) VALUES ($1, $2, $3, 'console', '{pwd}', $4, $4, $4)",
            SESSION,
            person.tenant_id,
            person.user_id,
            AT,
        )
        names = ["handle_hash", "session_id", "token_hash", "idle_ttl", *row]
        values = [current.handle_hash, SESSION, current.token_hash, 3 * GRACE, *row.values()]
        marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
        await tx.execute(
            f"INSERT INTO auth_families ({', '.join(names)}) VALUES ({marks})", *values
        )
        if against is not None:
            await tx.execute(f"UPDATE {against} = $1", AT - GRACE)
