"""Rotation: one live token per family, retry-safe, and a replay burns."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from service.flows.access.refresh import refresh
from service.flows.access.sign_in import Credentials, sign_in
from service.flows.access.sign_out import sign_out
from service.kernel.call import Call
from service.kernel.refusal import Refused
from service.runtime import Runtime
from tests import given


async def signed_in(rt: Runtime, call: Callable[..., Call]) -> str:
    person = await given.a_person(rt)
    return (await sign_in(rt, call(), Credentials(person.email, person.password))).refresh_token


async def test_a_token_seen_twice_after_its_successor_was_used_burns_the_family(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    second = (await refresh(rt, call(), first)).refresh_token
    third = (await refresh(rt, call(), second)).refresh_token
    with pytest.raises(Refused, match="replayed"):
        await refresh(rt, call(), first)
    with pytest.raises(Refused, match="ended"):
        await refresh(rt, call(), third)
    assert await given.live_families(rt) == 0
    assert await given.kinds(rt) == ["sign_in.succeeded", "family.burned"]


async def test_a_retry_within_the_grace_is_given_the_same_successor(
    rt: Runtime, call: Callable[..., Call]
) -> None:
    first = await signed_in(rt, call)
    answers = await asyncio.gather(*(refresh(rt, call(), first) for _ in range(32)))
    assert len({answer.refresh_token for answer in answers}) == 1
    rt.clock.advance(timedelta(seconds=11))
    with pytest.raises(Refused, match="replayed"):
        await refresh(rt, call(), first)


async def test_after_sign_out_a_token_is_refused_and_burns_nothing(
    rt: Runtime, call: Callable[..., Call], client: httpx2.AsyncClient
) -> None:
    first = await signed_in(rt, call)
    await sign_out(rt, call(), first)
    with pytest.raises(Refused, match="ended"):
        await refresh(rt, call(), first)
    assert await given.kinds(rt) == ["sign_in.succeeded", "session.ended"]
