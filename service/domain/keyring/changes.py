"""Changes of the key ring: publish a successor, or kill a key.  The caller has locked the ring."""

from datetime import datetime

from msgspec import Struct

from service.domain.keyring import store
from service.domain.keyring.model import Described, State, Times
from service.domain.keyring.store import Fresh
from service.kernel.seal import Seal
from service.kernel.sql import Tx


class Killed(Struct, frozen=True):
    """The result of a kill: the key's former state, and the new key, if one had to be made."""

    key: Described
    state: State
    successor: Described | None


async def find_pending(tx: Tx, at: datetime) -> Described | None:
    """Return the key that is published and does not sign yet; None when there is none."""
    published = await store.list_published(tx, at)
    return next((key for key in published if key.state(at) == "pending"), None)


async def publish(tx: Tx, seal: Seal, fresh: Fresh, at: datetime, times: Times) -> Described:
    """Publish a successor.  When its time comes, it begins to sign and the others retire."""
    made = await store.insert_key(tx, seal, fresh, at, at + times.publish_ahead)
    await store.retire_others(
        tx, made.kid, made.activates_at, made.activates_at + times.retired_for
    )
    return made


async def begin(tx: Tx, seal: Seal, fresh: Fresh, at: datetime, times: Times) -> Described:
    """Make a key that signs at once; with one pending, until that one does."""
    pending = await find_pending(tx, at)
    made = await store.insert_key(tx, seal, fresh, at, at)
    await store.retire_others(tx, made.kid, at, at + times.retired_for)
    if pending is not None:
        await store.keep_on(tx, pending.kid)
        begins = pending.activates_at
        await store.retire_others(tx, pending.kid, begins, begins + times.retired_for)
    return made


async def kill(
    tx: Tx, seal: Seal, kid: str, fresh: Fresh, at: datetime, times: Times
) -> Killed | None:
    """Kill a key; None when there is none that is not removed.

    When none is left that signs, `fresh` does from now on.  When the killed one was to come, the
    one before it goes on.
    """
    published = await store.list_published(tx, at)
    found = next((key for key in published if key.kid == kid), None)
    if found is None:
        return None
    await store.kill(tx, kid, at)
    left = [key for key in published if key is not found]
    successor = None
    if not any(key.state(at) == "active" for key in left):
        successor = await begin(tx, seal, fresh, at, times)
    elif found.state(at) == "pending":
        await store.keep_on(tx, max(left, key=lambda key: key.activates_at).kid)
    return Killed(found, found.state(at), successor)
