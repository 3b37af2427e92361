"""Events are chained in the order of transactions that have ended; none is missed, none twice."""

import asyncio
import base64
from collections.abc import Callable
from uuid import UUID

import jwt
import msgspec
import pytest

from service.domain import audit
from service.domain.audit import events
from service.domain.seals import PLATFORM
from service.flows.people.erase_person import erase_person
from service.flows.upkeep.sealing import seal
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel.call import Call, Operator
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.trails import (
    a_tenant,
    checked,
    faults,
    run,
    seal_all,
    sign_all,
    some_events,
)

Made = Callable[..., Call]


async def chain_of(rt: Runtime, chain_id: UUID) -> list[UUID]:
    async with rt.pg.reading() as tx:
        rows = await tx.fetch(
            "SELECT position, event_id FROM auth_event_seals WHERE chain_id = $1 ORDER BY position",
            chain_id,
        )
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["event_id"] for row in rows]


async def test_each_organization_has_a_chain_and_what_concerns_none_has_one(
    rt: Runtime, call: Made
) -> None:
    one, other = a_tenant(rt), a_tenant(rt)
    made = {
        one: await some_events(rt, call, one, 3),
        other: await some_events(rt, call, other, 2),
        PLATFORM: await some_events(rt, call, None, 4),
    }
    assert await seal_all(rt) == 9
    for chain_id, ids_of in made.items():
        assert await chain_of(rt, chain_id) == ids_of
    result = await checked(rt)
    assert (result.events, result.findings) == (9, [])


async def test_an_event_that_commits_late_is_neither_skipped_nor_reordered(
    rt: Runtime, call: Made
) -> None:
    """Its transaction began first: what came after waits for it, and it comes first."""
    tenant = a_tenant(rt)
    async with rt.pg.decision() as tx:
        await audit.record(tx, call(), events.SignedIn(tenant_id=tenant, known_device=True))
        late = await tx.fetchval("SELECT event_id FROM auth_eventos WHERE tenant_id = $1", tenant)
        early = await some_events(rt, call, tenant, 3)
        for _ in range(3):
            await seal(rt)
        assert await chain_of(rt, tenant) == []
    await seal_all(rt)
    assert await chain_of(rt, tenant) == [late, *early]
    assert await faults(rt, tenant) == []


async def test_writers_and_sealers_at_once_leave_no_gap_and_no_double(
    rt: Runtime, call: Made
) -> None:
    tenants = [a_tenant(rt) for _ in range(3)]
    writing = True

    async def write(tenant: object) -> None:
        await some_events(rt, call, tenant, 60)  # type: ignore[arg-type]

    async def keep_sealing() -> None:
        while writing:
            await seal(rt)

    sealers = [asyncio.create_task(keep_sealing()) for _ in range(3)]
    await asyncio.gather(*(write(tenant) for tenant in tenants))
    writing = False
    await asyncio.gather(*sealers)
    await seal_all(rt)
    result = await checked(rt)
    assert (result.events, result.findings) == (180, [])


async def test_more_than_a_batch_is_sealed_in_order(rt: Runtime, call: Made) -> None:
    tenant = a_tenant(rt)
    async with rt.pg.decision() as tx:  # one transaction: the mark stands inside of it
        for _ in range(620):
            await audit.record(tx, call(), events.SignInFailed(tenant_id=tenant, why="unknown"))
    assert await seal_all(rt) == 620
    sealed = await chain_of(rt, tenant)
    assert sealed == sorted(sealed)
    assert await faults(rt) == []


async def test_a_batch_that_is_rolled_back_is_sealed_again_wholly(rt: Runtime, call: Made) -> None:
    tenant = a_tenant(rt)
    made = await some_events(rt, call, tenant, 3)
    await run(
        rt,
        "ALTER TABLE auth_event_chains ADD CONSTRAINT no CHECK (position <> 3) NOT VALID",
    )
    try:
        with pytest.raises(Exception, match="violates"):
            await seal_all(rt)
    finally:
        await run(rt, "ALTER TABLE auth_event_chains DROP CONSTRAINT no")
    assert await chain_of(rt, tenant) == []
    await seal_all(rt)
    assert await chain_of(rt, tenant) == made


async def test_a_restored_database_that_counts_transactions_anew_is_sealed_on(
    rt: Runtime, call: Made
) -> None:
    tenant = a_tenant(rt)
    before = await some_events(rt, call, tenant, 3)
    await seal_all(rt)
    brought_along = await some_events(rt, call, tenant, 1)
    await run(
        rt,
        "UPDATE auth_eventos SET recorded_xid = '900000005' WHERE event_id = $1",
        brought_along[0],
    )
    await run(rt, "UPDATE auth_sealing SET recorded_xid = '900000000'")
    since = await some_events(rt, call, tenant, 2)
    await seal_all(rt)
    assert await chain_of(rt, tenant) == [*before, *brought_along, *since]
    assert await faults(rt, tenant) == []
    later = await some_events(rt, call, tenant, 1)
    await seal_all(rt)
    assert (await chain_of(rt, tenant))[-1:] == later


async def test_what_waits_for_its_seal_is_told(rt: Runtime, call: Made) -> None:
    """It proves nothing yet, and whoever holds up the sealer has time to change it."""
    tenant = a_tenant(rt)
    await some_events(rt, call, tenant, 2)
    await seal_all(rt)
    async with rt.pg.decision() as tx:
        await tx.execute("SELECT pg_current_xact_id()")
        made = await some_events(rt, call, tenant, 3)
        await seal(rt)
        async with rt.pg.reading() as other:
            since = await other.fetchval(
                "SELECT occurred_at FROM auth_eventos WHERE event_id = $1", made[0]
            )
        (held,) = await verify_trail(rt, tenant)
        assert (held.events, held.waiting, held.waiting_since) == (2, 3, since)
        assert held.findings == []
    await seal_all(rt)
    (done,) = await verify_trail(rt, tenant)
    assert (done.events, done.waiting, done.waiting_since) == (5, 0, None)


async def test_an_idle_deployment_writes_nothing(rt: Runtime, call: Made) -> None:
    await some_events(rt, call, a_tenant(rt), 1)
    await seal_all(rt)
    await sign_all(rt)

    async def mark() -> object:
        async with rt.pg.reading() as tx:
            return await tx.fetchval("SELECT xmin::text FROM auth_sealing")

    before = await mark()
    for _ in range(5):
        assert await seal(rt) == 0
    assert await mark() == before


async def test_a_checkpoint_verifies_against_the_published_keys(
    rt: Runtime, call: Made, client: object
) -> None:
    tenant = a_tenant(rt)
    await some_events(rt, call, tenant, 3)
    await seal_all(rt)
    async with rt.pg.reading() as tx:
        row = await tx.fetchrow("SELECT * FROM auth_event_checkpoints WHERE chain_id = $1", tenant)
        end = await tx.fetchrow("SELECT * FROM auth_event_chains WHERE chain_id = $1", tenant)
    assert row is not None
    assert end is not None
    keys = jwt.PyJWKSet.from_json(rt.keyring.jwks.decode())
    header = jwt.get_unverified_header(row["token"])
    assert header["typ"] == "audit-checkpoint+jwt"
    claims = jwt.decode(
        row["token"], keys[header["kid"]].key, algorithms=["ES256"], issuer=rt.settings.issuer
    )
    assert (claims["tenant_id"], claims["position"]) == (str(tenant), 3)
    assert base64.urlsafe_b64decode(claims["hash"] + "=") == end["hash"]


async def test_a_checkpoint_is_never_an_access_token(rt: Runtime, call: Made) -> None:
    await some_events(rt, call, a_tenant(rt), 1)
    await seal_all(rt)
    async with rt.pg.reading() as tx:
        token = await tx.fetchval("SELECT token FROM auth_event_checkpoints LIMIT 1")
    assert rt.keyring.find(token.partition(".")[0]) is None


async def test_checkpoints_verify_after_their_key_is_gone(rt: Runtime, call: Made) -> None:
    tenant = a_tenant(rt)
    await some_events(rt, call, tenant, 3)
    await seal_all(rt)
    await run(rt, "DELETE FROM auth_signing_keys")
    result = await checked(rt, tenant)
    assert (result.checkpoints, result.findings) == (1, [])


async def test_erasing_a_person_takes_what_is_personal_and_keeps_the_chain_valid(
    rt: Runtime, call: Made
) -> None:
    ada = await given.a_person(rt)
    tenant, person = ada.tenant_id, ada.user_id
    await some_events(rt, call, tenant, 2)
    await some_events(rt, call, tenant, 3, user_id=person)
    await some_events(rt, call, None, 1, user_id=person)
    await seal_all(rt)
    await some_events(rt, call, tenant, 1, user_id=person)  # not sealed yet
    gone = await erase_person(rt, call(actor=Operator(), ip=None, user_agent=""), person)
    assert (gone.trails, gone.memberships) == (2, 1)
    await seal_all(rt)
    result = await checked(rt)
    assert (result.erased, result.findings) == (4, [])
    async with rt.pg.reading() as tx:
        rows = await tx.fetch("SELECT * FROM auth_eventos WHERE user_id = $1", person)
        others = await tx.fetchval("SELECT count(*) FROM auth_eventos WHERE ip IS NOT NULL")
        salts = await tx.fetchval("SELECT count(*) FROM auth_event_seals WHERE salt IS NULL")
    told = msgspec.json.encode([dict(row) for row in rows], enc_hook=str).decode()
    assert "192.0.2" not in told
    assert "198.51" not in told
    assert (others, salts) == (2, 4)
