"""Events: what happened, who asked, from where; in the transaction of what they describe."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from service.domain import audit
from service.domain.audit import Event, events
from service.kernel.call import Call, Operator, Person
from service.kernel.ids import SessionId, TenantId, UserId
from service.runtime import Runtime
from tests import given

EVERY = [
    kind
    for _, kind in inspect.getmembers(events, inspect.isclass)
    if issubclass(kind, Event) and kind is not Event
]


def test_no_tag_is_used_twice_and_each_names_a_thing_and_what_happened_to_it() -> None:
    tags = [kind.__struct_config__.tag for kind in EVERY]
    assert len(set(tags)) == len(tags) > 10
    for tag in tags:
        assert isinstance(tag, str)
        thing, _, happened = tag.partition(".")
        assert thing.replace("_", "").isalpha()
        assert happened.replace("_", "").isalpha()


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_no_event_has_a_place_for_a_secret(kind: type[Event]) -> None:
    names = {field.name for field in msgspec.structs.fields(kind)}
    assert not names & {"password", "token", "secret", "hash", "password_hash", "email", "key"}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_event_says_what_it_is(kind: type[Event]) -> None:
    assert kind.__doc__


async def test_an_event_carries_its_call_and_itself(rt: Runtime, call: Callable[..., Call]) -> None:
    user, tenant, session = UserId(uuid4()), TenantId(uuid4()), SessionId(uuid4())
    person = Person(
        user_id=user,
        tenant_id=tenant,
        session_id=session,
        client_id="console",
        roles=("member",),
        scopes=(),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    made = call(actor=person, ip="2001:db8::1", user_agent="ünï\N{REPLACEMENT CHARACTER}")
    event = events.SessionMoved(
        tenant_id=tenant,
        user_id=user,
        session_id=session,
        network_before=None,
        network_now="2001:db8::/64",
        agent_changed=True,
    )
    async with rt.pg.decision() as tx:
        await audit.record(tx, made, event)
    (row,) = await given.events(rt)
    assert row["event_type"] == "session.moved"
    assert (row["user_id"], row["tenant_id"], row["session_id"]) == (user, tenant, session)
    assert (row["actor_kind"], row["actor_id"]) == ("user", str(user))
    assert (str(row["ip"]), row["user_agent"]) == ("2001:db8::1", made.user_agent)
    assert (row["occurred_at"], row["request_id"]) == (made.at, made.request_id)
    assert row["detail"] == {
        "network_before": None,
        "network_now": "2001:db8::/64",
        "agent_changed": True,
    }


async def test_whoever_has_no_account_is_told_apart(rt: Runtime, call: Callable[..., Call]) -> None:
    async with rt.pg.decision() as tx:
        await audit.record(tx, call(ip=None), events.SignInFailed(why="unknown"))
        later = call(actor=Operator(), at=rt.clock.now() + timedelta(seconds=1))
        await audit.record(tx, later, events.OrganizationCreated(slug="acme"))
    rows = await given.events(rt)
    assert [(row["actor_kind"], row["actor_id"]) for row in rows] == [
        ("nobody", None),
        ("operator", None),
    ]


async def test_events_of_one_moment_keep_the_order_they_were_recorded_in(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    at = rt.clock.now()
    async with rt.pg.decision() as tx:
        for n in range(20):
            await audit.record(tx, call(at=at), events.SessionEnded(why=str(n)))
    told = [row["detail"]["why"] for row in await given.events(rt)]
    assert told == [str(n) for n in range(20)]


async def test_an_event_goes_when_what_it_describes_is_rolled_back(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is the transaction
        async with rt.pg.decision() as tx:
            await audit.record(tx, call(), events.SignInFailed(why="unknown"))
            raise ZeroDivisionError
    assert await given.events(rt) == []
