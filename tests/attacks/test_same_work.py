"""Another organization's object costs what none costs: no clock tells them apart.

By the work that is done, which is the same on every machine: the same statements, and no row of
another organization is held or written to.  `./dev faults --only walls` measures the time.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpx2
import pytest

from service.kernel.sql import Statement
from service.runtime import Runtime
from tests.attacks.doors import Door, an_organization, doors, nothing, signed_in
from tests.attacks.test_walls import narrows

Browser = Callable[..., httpx2.AsyncClient]

RAN: ContextVar[list[str] | None] = ContextVar("ran", default=None)
"""The statements that ran for a request; the background's are not among them."""

THEIRS = (
    "auth_organizations",
    "auth_memberships",
    "auth_api_keys",
    "auth_clients",
    "auth_invitations",
    "auth_sessions",
    "auth_secrets",
)


async def test_the_same_statements_run_for_another_s_object_as_for_none(
    rt: Runtime, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = await an_organization(rt, browser(), browser())
    outside = browser()
    await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    arguments = Statement.arguments

    def noted(self: Statement, given: dict[str, Any]) -> list[Any]:
        if (ran := RAN.get()) is not None:
            ran.append(self.name)
        return arguments(self, given)

    monkeypatch.setattr(Statement, "arguments", noted)

    async def work(door: Door, objects: dict[str, str]) -> list[str]:
        ran: list[str] = []
        RAN.set(ran)
        await door.ask(outside, objects)
        return ran

    for door in doors():
        assert await work(door, foreign) == await work(door, nothing()), door


async def test_no_door_waits_for_what_is_another_s(rt: Runtime, browser: Browser) -> None:
    """Each row of theirs is held meanwhile: whoever would hold it too, or write to it, waits."""
    foreign = await an_organization(rt, browser(), browser())
    outside = browser()
    await signed_in(rt, outside, email="eve@evil.example", slug="evil", role="owner")
    async with rt.pg.decision() as tx:
        for table in THEIRS:
            await tx.execute(
                f"SELECT FROM {table} WHERE tenant_id = $1 FOR UPDATE", foreign["tenant_id"]
            )
        await tx.execute(
            "SELECT FROM auth_users JOIN auth_memberships USING (user_id) WHERE tenant_id = $1"
            " FOR UPDATE OF auth_users",
            foreign["tenant_id"],
        )
        for door in doors():
            async with asyncio.timeout(8):  # less than a statement may wait for a lock
                answer = await door.ask(outside, foreign)
            allowed = (200,) if narrows(door) else (403, 404)
            assert answer.status_code in allowed, f"{door}: {answer.status_code} {answer.text}"
