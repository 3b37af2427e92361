"""`prune` catches up, however much has expired."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from service.flows.upkeep.prune import prune
from service.kernel import dialing
from service.kernel.call import Call
from service.kernel.postgres import Postgres
from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.flows.upkeep.trails import run

Made = Callable[..., Call]
MANY = 50_000

_AT = "now() - least(n, 2000) * '1 min'::interval"
MADE = {
    "auth_devices": "SELECT gen_random_uuid(), (SELECT user_id FROM auth_users), now(), now(),"
    f" {_AT}",
    "auth_invitations": "SELECT gen_random_uuid(), (SELECT tenant_id FROM auth_organizations),"
    f" 'a@acme.example', 'member', sha256(n::text::bytea), NULL, now(), {_AT}, NULL",
    "auth_lockouts": "SELECT gen_random_uuid(), gen_random_uuid(), '{}', NULL,"
    f" {_AT} - '2 d'::interval",
    "auth_idempotency": f"SELECT sha256(n::text::bytea), sha256(''), '', {_AT}",
    "auth_revocations": f"SELECT n, 'jti', n::text, NULL, NULL, '', now(), {_AT}",
}
"""Rows that expired n minutes ago, hundreds of them at one and the same time."""


@pytest.fixture
async def hurried(
    rt: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runtime]:
    """The runtime on connections that are given a second for a statement."""
    monkeypatch.setitem(dialing.SETTINGS, "statement_timeout", "1s")  # the URL's is overruled
    pg = await Postgres.connect(settings.database_url, settings.database_schema)
    async with pg.reading() as tx:
        assert await tx.fetchval("SHOW statement_timeout") == "1s"
    yield replace(rt, pg=pg)
    await pg.close()


async def sessions_of(rt: Runtime, who: given.Given, expired: int) -> None:
    """Make sessions that expired one second apart, and as many families."""
    for first in range(0, expired, 10_000):
        await run(
            rt,
            "WITH made AS (INSERT INTO auth_sessions (session_id, tenant_id, user_id, client_id,"
            " amr, auth_time, created_at, expires_at) SELECT gen_random_uuid(), $1, $2, 'console',"
            " '{pwd}', now(), now(), now() - '30 d'::interval - n * '1 s'::interval"
            " FROM generate_series($3::integer + 1, $3 + 10000) AS n RETURNING session_id)"
            " INSERT INTO auth_families (handle_hash, session_id, token_hash, rotated_at, idle_ttl,"
            " idle_expires_at, absolute_expires_at) SELECT sha256(session_id::text::bytea),"
            " session_id, sha256(''), now(), '1 d', now(), now() FROM made",
            *(who.tenant_id, who.user_id, first),
        )


async def count(rt: Runtime, table: str) -> int:
    async with rt.pg.reading() as tx:
        return int(await tx.fetchval(f"SELECT count(*) FROM {table}"))


async def test_fifty_thousand_sessions_go_in_batches_and_what_is_done_stays_done(
    rt: Runtime, hurried: Runtime, call: Made
) -> None:
    await sessions_of(rt, await given.a_person(rt), MANY)
    begun = prune(hurried, call())
    told = [await anext(begun) for _ in range(3)]
    await begun.aclose()  # type: ignore[attr-defined]
    assert {kind for kind, _ in told} == {"sessions"}
    left = MANY - sum(rows for _, rows in told)
    assert await count(rt, "auth_sessions") == await count(rt, "auth_families") == left < MANY
    dropped: Counter[str] = Counter()
    async for kind, rows in prune(hurried, call()):
        assert rows <= told[0][1]
        dropped[kind] += rows
    assert dropped["sessions"] == left
    assert await count(rt, "auth_sessions") == await count(rt, "auth_families") == 0


async def test_every_kind_goes_in_batches_and_what_has_not_expired_stays(
    rt: Runtime, hurried: Runtime, call: Made
) -> None:
    await given.a_person(rt)
    for table, made in MADE.items():
        await run(
            rt, f"INSERT INTO {table} {made} FROM generate_series(-9, 2500) AS n WHERE n <> 0"
        )
    dropped: Counter[str] = Counter()
    async for kind, rows in prune(hurried, call()):
        dropped[kind] += rows
    kinds = ("devices", "invitations", "lockouts", "idempotency keys", "revocations")
    assert [dropped[kind] for kind in kinds] == [2500] * len(kinds)
    assert [await count(rt, table) for table in MADE] == [9] * len(MADE)
