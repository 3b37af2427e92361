"""Whoever changes the trail by direct SQL is found, and what they did is named."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from service.domain.seals import PLATFORM, Chain
from service.domain.seals.chaining import sign
from service.domain.seals.model import genesis, leaf, link, personal_digest
from service.domain.seals.store import find_progress, list_links, list_strays
from service.flows.upkeep.sealing import seal
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel import ids, jose
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Refused
from service.runtime import Runtime
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


class Chained(NamedTuple):
    """A sealed and signed chain."""

    tenant_id: TenantId
    events: list[UUID]


Spoil: TypeAlias = Callable[[Runtime, Chained], Awaitable[object]]


@pytest.fixture
async def chain(rt: Runtime, call: Made) -> Chained:
    tenant = a_tenant(rt)
    made = await some_events(rt, call, tenant, 6)
    await some_events(rt, call, None, 2)
    await seal_all(rt)
    await sign_all(rt)
    made += await some_events(rt, call, tenant, 4)
    await seal_all(rt)
    await sign_all(rt)
    assert await faults(rt) == []
    return Chained(tenant, made)


async def a_changed_fact(rt: Runtime, chain: Chained) -> None:
    await run(rt, "UPDATE auth_eventos SET event_type = 'x' WHERE event_id = $1", chain.events[3])


async def a_changed_address(rt: Runtime, chain: Chained) -> None:
    await run(rt, "UPDATE auth_eventos SET ip = '203.0.113.9' WHERE event_id = $1", chain.events[3])


async def a_changed_person(rt: Runtime, chain: Chained) -> None:
    await run(
        rt,
        "UPDATE auth_eventos SET user_id = gen_random_uuid() WHERE event_id = $1",
        chain.events[3],
    )


async def another_organization(rt: Runtime, chain: Chained) -> None:
    await run(rt, "UPDATE auth_eventos SET tenant_id = NULL WHERE event_id = $1", chain.events[3])


async def another_time(rt: Runtime, chain: Chained) -> None:
    await run(
        rt,
        "UPDATE auth_eventos SET occurred_at = occurred_at - interval '5 seconds'"
        " WHERE event_id = $1",
        chain.events[3],
    )


async def a_removed_event(rt: Runtime, chain: Chained) -> None:
    await run(rt, "DELETE FROM auth_eventos WHERE event_id = $1", chain.events[3])


async def a_removed_event_with_its_seal(rt: Runtime, chain: Chained) -> None:
    await a_removed_event(rt, chain)
    await run(rt, "DELETE FROM auth_event_seals WHERE event_id = $1", chain.events[3])


async def an_event_inserted_in_the_past(rt: Runtime, chain: Chained) -> None:
    await run(
        rt,
        "INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, event_type,"
        " request_id, recorded_xid) SELECT $2, occurred_at, tenant_id, 'operator', 'x',"
        " 'x', recorded_xid FROM auth_eventos WHERE event_id = $1",
        chain.events[3],
        ids.new(rt.clock.now()),
    )


async def an_event_inserted_under_a_seal_of_its_own(rt: Runtime, chain: Chained) -> None:
    """In a chain that nobody has, where no verification ever comes."""
    await an_event_inserted_in_the_past(rt, chain)
    await run(
        rt,
        "INSERT INTO auth_event_seals SELECT gen_random_uuid(), 1, e.event_id, e.occurred_at,"
        " s.sealed_at, s.form, s.salt, s.personal, s.leaf, s.previous, s.hash"
        " FROM auth_eventos e, auth_event_seals s WHERE e.request_id = 'x' AND s.event_id = $1",
        chain.events[3],
    )


async def an_event_inserted_under_a_seal_beyond_the_end(rt: Runtime, chain: Chained) -> None:
    await an_event_inserted_in_the_past(rt, chain)
    await run(
        rt,
        "INSERT INTO auth_event_seals SELECT s.chain_id, 1000000, e.event_id, e.occurred_at,"
        " s.sealed_at, s.form, s.salt, s.personal, s.leaf, s.previous, s.hash"
        " FROM auth_eventos e, auth_event_seals s WHERE e.request_id = 'x' AND s.event_id = $1",
        chain.events[3],
    )


async def a_copied_event(rt: Runtime, chain: Chained) -> None:
    await run(
        rt,
        "INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, event_type,"
        " request_id) SELECT event_id, occurred_at + interval '1 second', tenant_id, actor_kind,"
        " event_type, request_id FROM auth_eventos WHERE event_id = $1",
        chain.events[3],
    )


async def an_event_inserted_as_if_old(rt: Runtime, chain: Chained) -> None:
    """The sealer takes it for a new one: what gives it away is its age."""
    await run(
        rt,
        "INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, event_type,"
        " request_id) SELECT $2, occurred_at - interval '1 hour', tenant_id, 'operator', 'x', 'x'"
        " FROM auth_eventos WHERE event_id = $1",
        chain.events[3],
        ids.new(rt.clock.now()),
    )
    await seal_all(rt)


async def reordered_seals(rt: Runtime, chain: Chained) -> None:
    for before, after in ((3, 1000), (4, 3), (1000, 4)):
        await run(
            rt,
            "UPDATE auth_event_seals SET position = $3 WHERE chain_id = $1 AND position = $2",
            chain.tenant_id,
            before,
            after,
        )


async def a_seal_fitted_to_a_changed_event(rt: Runtime, chain: Chained) -> None:
    await a_changed_fact(rt, chain)
    async with rt.pg.autocommit() as tx:
        changed = (await list_links(tx, chain.tenant_id, 3, 4, 1))[0]
        await tx.execute(
            "UPDATE auth_event_seals SET leaf = $2 WHERE event_id = $1",
            chain.events[3],
            leaf(changed, changed.form, changed.personal),
        )


async def a_chain_rewritten_to_its_end(rt: Runtime, chain: Chained) -> None:
    """Whoever knows this code can make all hashes fit, but not sign them."""
    await a_changed_fact(rt, chain)
    await a_changed_address(rt, chain)
    async with rt.pg.autocommit() as tx:
        links = await list_links(tx, chain.tenant_id, 0, 100, 100)
        end = genesis(chain.tenant_id)
        for one in links:
            assert one.salt is not None
            personal = personal_digest(one, one.form, one.salt)
            digest = leaf(one, one.form, personal)
            fitted = link(replace(one, leaf=digest, previous=end))
            await tx.execute(
                "UPDATE auth_event_seals SET personal = $2, leaf = $3, previous = $4, hash = $5"
                " WHERE event_id = $1",
                one.event_id,
                personal,
                digest,
                end,
                fitted,
            )
            end = fitted
        await tx.execute(
            "UPDATE auth_event_chains SET hash = $2 WHERE chain_id = $1", chain.tenant_id, end
        )


async def a_rewritten_chain_signed_by_a_key_of_their_own(rt: Runtime, chain: Chained) -> None:
    await a_chain_rewritten_to_its_end(rt, chain)
    key = jose.Key("ES256", jose.generate("ES256"))
    async with rt.pg.autocommit() as tx:
        rows = await tx.fetch(
            "SELECT c.checkpoint_id, s.position, s.hash FROM auth_event_checkpoints c"
            " JOIN auth_event_seals s USING (chain_id, position) WHERE chain_id = $1",
            chain.tenant_id,
        )
        for row in rows:
            end = Chain(chain.tenant_id, row["position"], row["hash"])
            made = sign(rt.settings.issuer, key, b"guess", end, rt.clock.now())
            await tx.execute(
                "UPDATE auth_event_checkpoints SET token = $2, mac = $3, kid = $4,"
                " public_jwk = $5::text::jsonb WHERE checkpoint_id = $1",
                row["checkpoint_id"],
                made.token,
                made.mac,
                made.kid,
                made.public_jwk,
            )


async def an_end_cut_off(rt: Runtime, chain: Chained) -> None:
    await run(rt, "DELETE FROM auth_eventos WHERE event_id = ANY ($1)", chain.events[8:])
    await run(rt, "DELETE FROM auth_event_seals WHERE event_id = ANY ($1)", chain.events[8:])
    await run(
        rt,
        "UPDATE auth_event_chains SET position = 8, hash = (SELECT hash FROM auth_event_seals s"
        " WHERE s.chain_id = $1 AND s.position = 8) WHERE chain_id = $1",
        chain.tenant_id,
    )


async def a_forgotten_chain(rt: Runtime, chain: Chained) -> None:
    for table in ("auth_event_seals", "auth_event_chains"):
        await run(rt, f"DELETE FROM {table} WHERE chain_id = $1", chain.tenant_id)
    await run(rt, "DELETE FROM auth_eventos WHERE tenant_id = $1", chain.tenant_id)


async def an_event_sealed_twice(rt: Runtime, chain: Chained) -> None:
    await run(rt, "UPDATE auth_sealing SET recorded_xid = '0'")
    await run(
        rt,
        "INSERT INTO auth_event_seals SELECT chain_id, 11, event_id, occurred_at, sealed_at, form,"
        " salt, personal, leaf, previous, hash FROM auth_event_seals WHERE event_id = $1",
        chain.events[3],
    )
    await run(rt, "UPDATE auth_event_chains SET position = 11 WHERE chain_id = $1", chain.tenant_id)


async def an_erasure_that_nobody_ordered(rt: Runtime, chain: Chained) -> None:
    await run(
        rt,
        "UPDATE auth_eventos SET ip = NULL, user_agent = '',"
        " detail = detail - '{network_before,network_now}'::text[] WHERE event_id = $1",
        chain.events[3],
    )
    await run(rt, "UPDATE auth_event_seals SET salt = NULL WHERE event_id = $1", chain.events[3])


async def personal_fields_put_back_without_a_salt(rt: Runtime, chain: Chained) -> None:
    await run(rt, "UPDATE auth_event_seals SET salt = NULL WHERE event_id = $1", chain.events[3])
    await a_changed_address(rt, chain)


KINDS: list[tuple[Spoil, set[str]]] = [
    (a_changed_fact, {"changed"}),
    (a_changed_address, {"changed"}),
    (a_changed_person, {"changed"}),
    (another_organization, {"changed"}),
    (another_time, {"changed"}),
    (a_removed_event, {"removed"}),
    (a_removed_event_with_its_seal, {"removed"}),
    (an_event_inserted_in_the_past, {"inserted"}),
    (an_event_inserted_under_a_seal_of_its_own, {"inserted"}),
    (an_event_inserted_under_a_seal_beyond_the_end, {"inserted"}),
    (a_copied_event, {"inserted"}),
    (an_event_inserted_as_if_old, {"backdated"}),
    (reordered_seals, {"reordered"}),
    (a_seal_fitted_to_a_changed_event, {"changed"}),
    (a_chain_rewritten_to_its_end, {"rewritten"}),
    (a_rewritten_chain_signed_by_a_key_of_their_own, {"forged"}),
    (an_end_cut_off, {"truncated"}),
    (a_forgotten_chain, {"truncated"}),
    (an_event_sealed_twice, {"doubled", "reordered"}),
    (an_erasure_that_nobody_ordered, {"erased"}),
    (personal_fields_put_back_without_a_salt, {"changed"}),
]


@pytest.mark.parametrize(("spoil", "named"), KINDS, ids=[spoil.__name__ for spoil, _ in KINDS])
async def test_it_is_found_and_named(
    rt: Runtime, chain: Chained, spoil: Spoil, named: set[str]
) -> None:
    await spoil(rt, chain)
    result = await checked(rt, chain.tenant_id)
    assert {found.fault for found in result.findings} == named
    assert {found.chain_id for found in result.findings} == {chain.tenant_id}
    places = {(found.position, found.event_id) for found in result.findings}
    if named <= {"changed", "removed", "erased"}:
        assert places & {(4, chain.events[3]), (5, chain.events[4])}
    assert await faults(rt, PLATFORM) in ([], ["inserted"])


async def test_a_copy_is_found_before_the_sealer_can_come_past_it(
    rt: Runtime, chain: Chained
) -> None:
    """A transaction that stays open, anywhere on the server, holds the sealer's horizon."""
    async with rt.pg.decision() as tx:
        await tx.execute("SELECT pg_current_xact_id()")
        await a_copied_event(rt, chain)
        await seal(rt)
        found = (await checked(rt, chain.tenant_id)).findings
    assert [(one.fault, one.event_id) for one in found] == [("inserted", chain.events[3])]


async def test_a_copy_does_not_hide_behind_the_end_of_a_stretch(
    rt: Runtime, chain: Chained
) -> None:
    await a_copied_event(rt, chain)
    after, seen = None, []
    async with rt.pg.reading() as tx:
        progress = await find_progress(tx)
        while found := await list_strays(tx, chain.tenant_id, 0, progress, after, 1):
            after = found[-1]
            seen += [one.event_id for one in found if one.stray]
    assert seen == [chain.events[3]]


async def test_what_was_rewritten_and_signed_anew_by_whoever_has_the_keys_is_found_by_a_saved_checkpoint(  # noqa: E501
    rt: Runtime, chain: Chained
) -> None:
    """Against an operator with database and keys, only what was kept elsewhere helps."""
    async with rt.pg.reading() as tx:
        row = await tx.fetchrow(
            "SELECT token, public_jwk FROM auth_event_checkpoints WHERE chain_id = $1"
            " ORDER BY checkpoint_id LIMIT 1",
            chain.tenant_id,
        )
    assert row is not None
    saved = msgspec.json.encode(
        {"token": row["token"], "public_jwk": msgspec.json.decode(row["public_jwk"])}
    )
    assert await faults(rt, chain.tenant_id, saved) == []
    assert await faults(rt, chain.tenant_id, row["token"].encode()) == []
    await a_chain_rewritten_to_its_end(rt, chain)
    await run(rt, "DELETE FROM auth_event_checkpoints WHERE chain_id = $1", chain.tenant_id)
    await run(rt, "UPDATE auth_event_chains SET checkpoint_position = 0")
    await sign_all(rt)
    assert await faults(rt, chain.tenant_id) == []  # what this alone does not stop
    assert "rewritten" in await faults(rt, chain.tenant_id, saved)


async def test_a_saved_checkpoint_tells_that_everything_was_deleted(
    rt: Runtime, chain: Chained
) -> None:
    async with rt.pg.reading() as tx:
        token = await tx.fetchval(
            "SELECT token FROM auth_event_checkpoints WHERE chain_id = $1", chain.tenant_id
        )
    await a_forgotten_chain(rt, chain)
    await run(rt, "DELETE FROM auth_event_checkpoints WHERE chain_id = $1", chain.tenant_id)
    assert await faults(rt) == []
    assert await faults(rt, None, token.encode()) == ["truncated"]


@pytest.mark.parametrize("line", [b"", b"x", b"a.b.c", b"{}", b'{"token": "a.b.c"}', b"\xff", b"{"])
async def test_a_saved_line_that_is_no_checkpoint_is_refused_by_its_number(
    rt: Runtime, line: bytes
) -> None:
    with pytest.raises(Refused, match="line 1"):
        await verify_trail(rt, saved=[line])


async def test_a_saved_checkpoint_of_another_key_is_refused(rt: Runtime, chain: Chained) -> None:
    """Its key is named by its thumbprint: nobody can slip one in."""
    key = jose.Key("ES256", jose.generate("ES256"))
    end = Chain(chain.tenant_id, 3, bytes(32))
    made = sign(rt.settings.issuer, key, b"", end, rt.clock.now())
    jwk = {**msgspec.json.decode(made.public_jwk), "kid": "another"}
    claims = msgspec.json.encode({"token": made.token, "public_jwk": jwk})
    assert "rewritten" in await faults(rt, chain.tenant_id, claims)  # the reader's own to trust
    with pytest.raises(Refused, match="line 1"):
        await verify_trail(rt, saved=[made.token.encode()])
