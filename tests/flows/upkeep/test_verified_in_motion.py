"""`audit verify` never cries wolf: nothing it compares is of two moments."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from faults.motion import in_motion
from service.domain import audit
from service.flows.people.erase_person import erase_person
from service.flows.upkeep.retention import drop_old_months
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel.call import Call, Operator
from service.kernel.ids import TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.test_retention import old
from tests.flows.upkeep.trails import a_tenant, checked, faults, seal_all, some_events

__all__ = ["old"]

Made = Callable[..., Call]
TIMES = 15


async def test_nothing_is_found_while_the_trail_is_sealed_signed_erased_and_dropped(
    rt: Runtime,
) -> None:
    hashed = await rt.passwords.hash(given.PASSWORD)

    async def newcomer() -> tuple[TenantId, UserId]:
        email = f"{uuid4().hex}@acme.example"
        made = await given.a_person(rt, email, password_hash=hashed)
        return made.tenant_id, made.user_id

    async with in_motion(rt, newcomer) as done:
        for _ in range(TIMES):
            results = await verify_trail(rt)
            assert [found for one in results for found in one.findings] == []
            await asyncio.sleep(0.1)
    assert {"events", "sealed", "erased"} <= done.keys()


async def test_an_erasure_that_has_no_seal_yet_is_on_record(rt: Runtime, call: Made) -> None:
    ada = await given.a_person(rt)
    await some_events(rt, call, ada.tenant_id, 3, user_id=ada.user_id)
    await seal_all(rt)
    await erase_person(rt, call(actor=Operator()), ada.user_id)
    result = await checked(rt, ada.tenant_id)
    assert (result.erased, result.findings) == (3, [])
    await seal_all(rt)
    assert await faults(rt, ada.tenant_id) == []


async def test_months_stay_while_they_are_verified_and_nobody_waits(
    rt: Runtime, call: Made, old: TenantId
) -> None:
    async with rt.pg.snapshot() as tx:
        assert await audit.keep_months(tx)
        with pytest.raises(Refused, match="being verified") as caught:
            await drop_old_months(rt, call(actor=Operator()))
        assert caught.value.reason is Reason.CONFLICT
        async with rt.pg.autocommit() as other:
            assert await audit.make_partitions(other, rt.clock.now().replace(year=2031), 1) == 0
        await some_events(rt, call, a_tenant(rt), 1)
    assert await drop_old_months(rt, call(actor=Operator())) == 3
    assert await faults(rt) == []


async def test_another_schema_of_the_database_holds_months_of_its_own(rt: Runtime) -> None:
    async with rt.pg.decision() as tx, rt.pg.decision() as same, rt.pg.decision() as another:
        assert await audit.change_months(tx)
        assert not await audit.change_months(same)
        await another.execute("SET LOCAL search_path = pg_catalog")
        assert await audit.change_months(another)


async def test_a_verification_waits_for_a_month_that_is_dropped(rt: Runtime, call: Made) -> None:
    tenant = a_tenant(rt)
    await some_events(rt, call, tenant, 1)
    await seal_all(rt)
    async with rt.pg.decision() as tx:
        assert await audit.change_months(tx)
        verifying = asyncio.create_task(verify_trail(rt, tenant))
        assert not (await asyncio.wait([verifying], timeout=0.5))[0]
    (result,) = await verifying
    assert (result.events, result.findings) == (1, [])
