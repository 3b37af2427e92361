"""The platform keeps an administrator who can sign in, whatever is closed and by whom."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.flows.people.erase_person import erase_person
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.attacks.doors import everything, signed_in

Browser = Callable[..., httpx2.AsyncClient]

ACTS: dict[str, tuple[str, str]] = {
    "their account is disabled": ("POST", "/admin/users/{user}/disable"),
    "they are erased": ("DELETE", "/admin/users/{user}/personal-data"),
    "their membership is suspended": ("POST", "/admin/users/{user}/disable?tenant_id={top}"),
    "their membership is ended": ("DELETE", "/admin/users/{user}?tenant_id={top}"),
    "their organization is disabled": ("POST", "/admin/organizations/{top}/disable"),
}
"""Every act that takes a way in; nothing takes the platform's own role."""

SELF = frozenset({"their account is disabled", "they are erased"})
"""Nobody does this to themselves, whoever else there is."""


def names(told: dict[str, Any]) -> dict[str, str]:
    return {"user": told["user"]["id"], "top": told["organization"]["id"]}


async def ask(http: httpx2.AsyncClient, what: str, told: dict[str, Any]) -> int:
    method, path = ACTS[what]
    return (await http.request(method, path.format(**names(told)))).status_code


@pytest.mark.parametrize("what", ACTS)
async def test_the_last_one_keeps_their_way_in(rt: Runtime, browser: Browser, what: str) -> None:
    root, owner = browser(), browser()
    told = await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    await signed_in(rt, owner, email="owner@top.example", slug="top", role="owner")
    # Who cannot sign in is no way in: suspended, disabled, of a disabled organization, no password.
    there = told["organization"]["id"]
    for n, column in enumerate(("m", "u", "o", "p")):
        slug = "top" if column != "o" else "closed"
        who = await given.a_person(rt, f"{n}@top.example", slug=slug, platform_admin=True)
        async with rt.pg.autocommit() as tx:
            await tx.execute(
                {
                    "m": "UPDATE auth_memberships SET disabled_at = now() WHERE user_id = $1",
                    "u": "UPDATE auth_users SET disabled_at = now() WHERE user_id = $1",
                    "o": "UPDATE auth_organizations o SET disabled_at = now()"
                    " FROM auth_memberships m WHERE user_id = $1 AND o.tenant_id = m.tenant_id",
                    "p": "UPDATE auth_users SET password_hash = NULL WHERE user_id = $1",
                }[column],
                who.user_id,
            )
    before = await everything(rt)
    assert await ask(root, what, told) == 409
    if "membership" in what:
        method, path = ACTS[what]
        by_owner = await owner.request(method, path.format(user=told["user"]["id"], top=there))
        assert by_owner.status_code == 409
        assert "administrator who can sign in" in by_owner.text
    assert await everything(rt) == before
    assert (await root.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("what", ACTS)
async def test_with_another_one_it_is_done(rt: Runtime, browser: Browser, what: str) -> None:
    root, other = browser(), browser()
    told = await signed_in(rt, root, email="root@top.example", slug="top", platform_admin=True)
    await signed_in(rt, other, email="other@else.example", slug="else", platform_admin=True)
    assert await ask(root, what, told) == (409 if what in SELF else 204)
    if what in SELF:
        assert await ask(other, what, told) in (200, 204)


@pytest.mark.parametrize("what", ACTS)
async def test_of_two_who_take_each_other_s_way_in_at_once_one_is_refused(
    rt: Runtime, browser: Browser, what: str
) -> None:
    for n in range(3):
        async with rt.pg.autocommit() as tx:
            await tx.execute("UPDATE auth_users SET platform_admin = false")
        people = []
        for who in ("a", "b"):
            http, slug = browser(), f"{who}{n}"
            email = f"root@{slug}.example"
            told = await signed_in(rt, http, email=email, slug=slug, platform_admin=True)
            people.append((http, told))
        (one, her), (two, him) = people
        done = await asyncio.gather(ask(one, what, him), ask(two, what, her))
        assert sorted(status < 300 for status in done) == [False, True], done
        assert max(done) in (401, 409)


async def test_the_operator_does_not_erase_the_last_one_either(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    root = await given.a_person(rt, "root@top.example", slug="top", platform_admin=True)
    with pytest.raises(Refused) as refused:
        await erase_person(rt, call(actor=Operator()), root.user_id)
    assert refused.value.reason is Reason.CONFLICT
