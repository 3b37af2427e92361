"""A40, I5: who is disabled while the database stalls is dead when that is acknowledged.

A cutoff is a time.  What is read or issued after that time and before the commit escapes it, when
the transaction waits longer than the second it was given: at the counter of the revocations, which
another one holds.  A person without a session has nothing that waits before the time is taken.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.domain.revocations import UNTIL_COMMITTED
from service.runtime import Runtime
from tests import given
from tests.clients import a_service
from tests.keys import an_owner, exchange, verdict

Browser = Callable[..., httpx2.AsyncClient]


@pytest.mark.parametrize("act", ["account", "membership", "role", "organization"])
async def test_a_key_that_is_shown_while_its_owner_is_disabled_dies_with_it(
    rt: Runtime, browser: Browser, act: str
) -> None:
    root = await an_owner(rt, browser(), "root@top.example", slug="top", platform_admin=True)
    platform = await a_service(rt, browser(), "api-keys:verify")
    member = await an_owner(rt, browser(), "mem@acme.example", role="member")
    key = (await member.create())["secret"]
    assert (await member.ask("POST", "/auth/logout", json={})).status_code == 204
    who, there = member.person.user_id, member.person.tenant_id
    acts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "account": ("POST", f"/admin/users/{who}/disable", {}),
        "membership": ("DELETE", f"/admin/users/{who}?tenant_id={there}", {}),
        "role": (
            *("PUT", f"/admin/users/{who}/role?tenant_id={there}"),
            {"json": {"role": "auditor"}},
        ),
        "organization": ("POST", f"/admin/organizations/{there}/disable", {}),
    }
    method, path, more = acts[act]
    async with rt.pg.decision() as tx:
        await tx.execute("SELECT 1 FROM auth_revocation_head FOR UPDATE")
        disabling = asyncio.create_task(root.ask(method, path, **more))
        await given.until_somebody_waits(rt)
        await asyncio.sleep(UNTIL_COMMITTED.total_seconds() + 1.5)
        assert (await verdict(platform, key))["valid"]
        token = (await exchange(browser(), key)).json()["access_token"]
    answer = await disabling
    assert answer.status_code < 300, answer.text
    await asyncio.sleep(1)
    told = (await platform.ask("/oauth/introspect", token=token)).json()
    assert ((await verdict(platform, key))["valid"], told["active"]) == (False, False)
