"""Two acts at once: whatever the order, what must be dead is dead."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import pytest

from service.domain import organizations
from service.domain.users import Role
from service.flows.account.password import change_password
from service.flows.organizations.administer import disable, enable
from service.flows.people.members import change_role
from service.flows.sessions.own import end_own_session
from service.flows.sessions.refresh import refresh
from service.flows.sessions.sign_in import Credentials, sign_in
from service.flows.sessions.sign_out import sign_out, sign_out_everywhere
from service.flows.sessions.switch_organization import switch_organization
from service.flows.shared.authenticate import authenticate
from service.flows.shared.issuing import Granted
from service.kernel.call import Call, Person
from service.kernel.refusal import Refused
from service.runtime import Runtime
from tests import given

RACES = 30
NEW = "an altogether new one"


async def soon(act: Awaitable[object], most: float = 0.004) -> object:
    """Begin a little later, each time another while."""
    await asyncio.sleep(random.uniform(0, most))
    try:
        return await act
    except Refused as refused:
        return refused


async def person_of(rt: Runtime, granted: Granted) -> Person:
    person = await authenticate(rt, granted.access_token, rt.clock.now())
    assert isinstance(person, Person)
    return person


async def is_dead(rt: Runtime, call: Callable[..., Call], outcomes: list[object]) -> None:
    """Neither a refresh token nor an access token of these outcomes works any more."""
    for granted in (one for one in outcomes if isinstance(one, Granted)):
        with pytest.raises(Refused):
            await refresh(rt, call(), granted.refresh_token)
        with pytest.raises(Refused):
            await authenticate(rt, granted.access_token, rt.clock.now())


async def test_a_refresh_that_races_a_sign_out_leaves_nothing_alive(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    won = set()
    for _ in range(RACES):
        first = await sign_in(rt, call(), Credentials(ada.email, ada.password))
        renewed, again, _ = await asyncio.gather(
            soon(refresh(rt, call(), first.refresh_token)),
            soon(refresh(rt, call(), first.refresh_token)),
            soon(sign_out(rt, call(), first.refresh_token)),
        )
        won.add(type(renewed))
        await is_dead(rt, call, [first, renewed, again])
        assert await given.live_families(rt) == 0
    assert won == {Granted, Refused}, "the races never ran both ways"
    assert "family.burned" not in await given.kinds(rt)


async def test_a_refresh_that_races_the_end_of_its_session_leaves_nothing_alive(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    for _ in range(RACES):
        first = await sign_in(rt, call(), Credentials(ada.email, ada.password))
        person = await person_of(rt, first)
        renewed, _ = await asyncio.gather(
            soon(refresh(rt, call(), first.refresh_token)),
            soon(end_own_session(rt, call(actor=person), person, person.session_id)),
        )
        await is_dead(rt, call, [first, renewed])
        assert await given.live_families(rt) == 0


async def test_what_races_a_sign_out_everywhere_leaves_nothing_of_before_alive(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    for _ in range(RACES):
        first, second = [
            await sign_in(rt, call(), Credentials(ada.email, ada.password)) for _ in range(2)
        ]
        one, other, _ = await asyncio.gather(
            soon(refresh(rt, call(), first.refresh_token)),
            soon(refresh(rt, call(), second.refresh_token)),
            soon(sign_out_everywhere(rt, call(), first.refresh_token)),
        )
        await is_dead(rt, call, [first, second, one, other])
        assert await given.live_families(rt) == 0


async def test_what_races_a_change_of_password_leaves_the_changing_session_alone_alive(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    passwords = [ada.password, NEW]
    for _ in range(RACES):
        old, new = passwords
        mine, other = [await sign_in(rt, call(), Credentials(ada.email, old)) for _ in range(2)]
        person = await person_of(rt, mine)
        renewed, entered, changed = await asyncio.gather(
            soon(refresh(rt, call(), other.refresh_token)),
            soon(sign_in(rt, call(), Credentials(ada.email, old))),
            soon(change_password(rt, call(actor=person), person, old, new, None)),
        )
        assert changed is None
        await is_dead(rt, call, [other, renewed, entered])
        assert await given.live_families(rt) == 1
        await refresh(rt, call(), mine.refresh_token)
        await sign_out(rt, call(), mine.refresh_token)
        passwords.reverse()


async def test_a_refresh_that_races_the_disabling_of_its_person_yields_no_further_one(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    for _ in range(RACES):
        await given.set_user(rt, ada.user_id, disabled_at=None)
        first = await sign_in(rt, call(), Credentials(ada.email, ada.password))
        renewed, _ = await asyncio.gather(
            soon(refresh(rt, call(), first.refresh_token)),
            soon(given.set_user(rt, ada.user_id, disabled_at=datetime.now(UTC))),
        )
        for granted in (one for one in (first, renewed) if isinstance(one, Granted)):
            with pytest.raises(Refused):
                await refresh(rt, call(), granted.refresh_token)


async def test_a_refresh_that_races_a_replay_leaves_nothing_alive(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    for _ in range(RACES):
        first = await sign_in(rt, call(), Credentials(ada.email, ada.password))
        second = await refresh(rt, call(), first.refresh_token)
        third = await refresh(rt, call(), second.refresh_token)
        await given.no_grace(rt)
        outcomes = await asyncio.gather(
            soon(refresh(rt, call(), third.refresh_token)),
            soon(refresh(rt, call(), first.refresh_token)),
        )
        await is_dead(rt, call, [first, second, third, *outcomes])
        assert await given.live_families(rt) == 0
    assert (await given.kinds(rt)).count("family.burned") == RACES


async def test_a_switch_of_organization_that_races_a_sign_out_leaves_at_most_the_new_session(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    await given.a_membership(rt, ada.user_id, await given.an_organization(rt, "other"), "member")
    for _ in range(RACES):
        first = await sign_in(rt, call(), Credentials(ada.email, ada.password, "acme"))
        person = await person_of(rt, first)
        switched, renewed, _ = await asyncio.gather(
            soon(switch_organization(rt, call(actor=person), person, "other")),
            soon(refresh(rt, call(), first.refresh_token)),
            soon(sign_out(rt, call(), first.refresh_token)),
        )
        await is_dead(rt, call, [first, renewed])
        assert await given.live_families(rt) == int(isinstance(switched, Granted))
        if isinstance(switched, Granted):
            await sign_out(rt, call(), switched.refresh_token)


async def test_a_sign_in_that_waits_while_its_organization_is_disabled_opens_no_session(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    async with rt.pg.decision() as tx:
        assert await organizations.lock_out(tx, ada.tenant_id)
        waiting = asyncio.create_task(
            soon(sign_in(rt, call(), Credentials(ada.email, ada.password)))
        )
        await given.until_somebody_waits(rt)
        await organizations.set_disabled(tx, ada.tenant_id, rt.clock.now())
    assert isinstance(await waiting, Refused)
    assert await given.live_families(rt) == 0


async def test_what_races_the_disabling_of_its_organization_does_not_live_again_with_it(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    await given.a_membership(rt, ada.user_id, await given.an_organization(rt, "other"), "member")
    root = await given.a_person(rt, "root@platform.example", slug="platform", platform_admin=True)
    kept = await sign_in(rt, call(), Credentials(root.email, root.password))
    administrator = await person_of(rt, kept)
    won = set()
    for turn in range(RACES):
        rt.clock.advance(3 * given.A_SECOND)  # else they wait for the cutoff of the turn before
        admin = call(actor=administrator)
        elsewhere = await sign_in(rt, call(), Credentials(ada.email, ada.password, "other"))
        person = await person_of(rt, elsewhere)
        entered, switched, _ = await asyncio.gather(
            soon(sign_in(rt, call(), Credentials(ada.email, ada.password, "acme"))),
            soon(switch_organization(rt, call(actor=person), person, "acme")),
            soon(disable(rt, admin, ada.tenant_id), turn * 0.004),
        )
        won |= {type(entered), type(switched)}
        await enable(rt, admin, ada.tenant_id)
        for granted in (one for one in (entered, switched) if isinstance(one, Granted)):
            with pytest.raises(Refused):
                await refresh(rt, call(), granted.refresh_token)
        await sign_out(rt, call(), elsewhere.refresh_token)
        assert await given.live_families(rt) == 1
    assert won == {Granted, Refused}, "the races never ran both ways"


async def test_a_change_of_role_and_a_sign_in_do_not_wait_for_each_other_in_a_circle(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    ada = await given.a_person(rt)
    owner = await given.a_person(rt, "owner@acme.example", role="owner")
    kept = await sign_in(rt, call(), Credentials(owner.email, owner.password))
    admin = call(actor=await person_of(rt, kept))
    roles = itertools.cycle(("admin", "member"))
    for _ in range(RACES):
        entered, changed = await asyncio.gather(
            soon(sign_in(rt, call(), Credentials(ada.email, ada.password))),
            soon(change_role(rt, admin, None, ada.user_id, cast("Role", next(roles)))),
        )
        assert isinstance(entered, Granted)
        assert not isinstance(changed, Refused)
