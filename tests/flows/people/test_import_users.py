"""An import that takes long dates each event when it happens."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import timedelta

from service.flows.people.import_users import import_users
from service.kernel.call import Call, Operator
from service.runtime import Runtime
from tests import given
from tests.flows.upkeep.trails import checked, seal_all, some_events

ELEVEN_MINUTES = timedelta(minutes=11)
"""Past what verification takes for a slow request."""


async def test_a_long_import_backdates_nothing(rt: Runtime, call: Callable[..., Call]) -> None:
    tenant = await given.an_organization(rt)
    hashed = await rt.passwords.hash(given.PASSWORD)

    def slowly() -> Iterator[bytes]:
        for number in range(3):
            told = {"email": f"u{number}@acme.example", "password_hash": hashed}
            yield json.dumps({**told, "organization": "acme"}).encode()
            rt.clock.advance(ELEVEN_MINUTES)

    outcomes = []
    async for outcome in import_users(rt, call(actor=Operator()), slowly()):
        outcomes.append(outcome.error)
        await some_events(rt, call, tenant, 1)  # others go on meanwhile
        await seal_all(rt)
    assert outcomes == [None] * 3
    assert (await checked(rt)).findings == []
    times = [event["occurred_at"] for event in await given.events(rt, "user.created")]
    assert [later - sooner >= ELEVEN_MINUTES for sooner, later in itertools.pairwise(times)] == [
        True
    ] * 2
