"""Changes of the key ring: publish a key, or kill one.  The caller has locked the ring."""

from datetime import datetime

from msgspec import Struct

from service.domain.keyring import store
from service.domain.keyring.model import Described, Schedule, State
from service.domain.keyring.store import Fresh
from service.kernel.seal import Seal
from service.kernel.sql import Tx


class Killed(Struct, frozen=True):
    """The result of a kill: the key's former state, and the new key, if one had to be made."""

    key: Described
    state: State
    successor: Described | None


async def publish(tx: Tx, seal: Seal, fresh: Fresh, at: datetime, schedule: Schedule) -> Described:
    """Publish the next key of an algorithm.  When it begins to sign, those it replaces retire."""
    published = await store.list_published(tx, at)
    begins = schedule.activates_at(fresh.algorithm, published, at)
    made = await store.insert_key(tx, seal, fresh, at, begins)
    replaced = schedule.replaced_by(fresh.algorithm)
    await store.retire_others(tx, made.kid, replaced, begins, begins + schedule.retired_for)
    return made


async def kill(
    tx: Tx, seal: Seal, kid: str, fresh: Fresh, at: datetime, schedule: Schedule
) -> Killed | None:
    """Kill a key; None when there is no such key, or it is removed already.

    If it was the active key of its algorithm, `fresh` signs from now on, for as long as the killed
    key would have; it must be of the same algorithm.  If it was pending, the keys before it go on.
    """
    published = await store.list_published(tx, at)
    found = next((key for key in published if key.kid == kid), None)
    if found is None:
        return None
    await store.kill(tx, kid, at)
    left = [key for key in published if key is not found]
    successor = None
    if schedule.needs_successor(found, left, at):
        successor = await store.insert_key(
            tx, seal, fresh, at, at, retires_at=found.retires_at, removes_at=found.removes_at
        )
    elif found.state(at) == "pending":
        await store.keep_on(tx, schedule.kept_on(found, left), found.activates_at)
    return Killed(found, found.state(at), successor)
