"""Background work on API keys: record uses and failures, and end expired keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from service.domain import apikeys, audit
from service.domain.apikeys import Ended, Failure, Uses
from service.domain.audit import events
from service.flows.shared.ending import close_keys
from service.runtime import Runtime

_MOST = 500

Taken = TypeVar("Taken", Uses, Failure)


async def settle_keys(rt: Runtime) -> None:
    """Write the uses and failures since the last call."""
    with _kept(rt, rt.tally.take_uses()) as uses:
        if uses:
            async with rt.pg.autocommit() as tx:
                await apikeys.add_uses(tx, uses)
    with _kept(rt, rt.tally.take_failures(rt.clock.now())) as failures:
        if failures:
            async with rt.pg.decision() as tx:
                for failure in failures:
                    await audit.record(tx, failure.call, _event(failure))


async def end_expired_keys(rt: Runtime) -> None:
    """Put keys that have expired, or whose overlap is over, on the revocation feed.

    A cached key with the right expiry stops working by itself.  The feed also stops tokens that a
    key was exchanged for, and keys that were cached before their expiry was set by a rotation.
    """
    at = rt.clock.now()
    async with rt.pg.reading() as tx:
        if not await apikeys.any_ending(tx, at):
            return
    async with rt.pg.decision() as tx:
        by_tenant: dict[object, list[Ended]] = {}
        for one in await apikeys.end_expired(tx, at, _MOST):
            by_tenant.setdefault(one.tenant_id, []).append(one)
        for group in by_tenant.values():
            key_ids = [one.key_id for one in group]
            await close_keys(tx, at, key_ids, group[0].tenant_id, "api key expired")


@contextmanager
def _kept(rt: Runtime, taken: list[Taken]) -> Iterator[list[Taken]]:
    """While inside, keep these for the next time if writing fails or is cancelled."""
    try:
        yield taken
    except BaseException:
        rt.tally.give_back(taken)
        raise


def _event(failure: Failure) -> events.ApiKeyRefused:
    return events.ApiKeyRefused(
        tenant_id=failure.tenant_id,
        user_id=failure.owner_id,
        why=failure.why.value,
        count=failure.count,
        key_id=failure.key_id,
    )
