"""Statements on auth_event_seals, auth_event_chains, auth_event_checkpoints, auth_sealing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from service.domain.seals.model import (
    FORM,
    Chain,
    Checkpoint,
    Link,
    Progress,
    Seal,
    Stray,
    Unsealed,
    Waiting,
)
from service.kernel import jose
from service.kernel.sql import Queries, Tx


class Last(Struct, frozen=True):
    """A place in a chain."""

    position: int
    hash: bytes


class _Name(Struct, frozen=True):
    chain_id: UUID


class _Dropped(Struct, frozen=True):
    dropped: int


class _Jwk(Struct, frozen=True):
    public_jwk: str


queries = Queries("seals")
_find_progress = queries.rows("find_progress", Progress)
_try_lock_progress = queries.rows("try_lock_progress", Progress)
_lock_progress = queries.rows("lock_progress", Progress)
_list_unsealed = queries.rows("list_unsealed", Unsealed)
_list_unsealed_after_restore = queries.rows("list_unsealed_after_restore", Unsealed)
_move_progress = queries.command("move_progress")
_list_chains = queries.rows("list_chains", Chain)
_list_every_chain = queries.rows("list_every_chain", Chain)
_put_chains = queries.command("put_chains")
_insert_seals = queries.command("insert_seals")
_list_due = queries.rows("list_due", Chain)
_insert_checkpoint = queries.command("insert_checkpoint")
_note_checkpoint = queries.command("note_checkpoint")
_list_checkpoints = queries.rows("list_checkpoints", Checkpoint)
_drop_checkpoints = queries.rows("drop_checkpoints", _Dropped)
_find_beginning = queries.rows("find_beginning", Last)
_list_links = queries.rows("list_links", Link)
_list_strays = queries.rows("list_strays", Stray)
_list_waiting = queries.rows("list_waiting", Waiting)
_list_recorded = queries.rows("list_recorded", _Name)
_list_signed = queries.rows("list_signed", _Name)
_find_public_jwk = queries.rows("find_public_jwk", _Jwk)


async def find_progress(tx: Tx) -> Progress:
    """Return how far the sealer is."""
    return await _find_progress.one(tx)


async def try_lock_progress(tx: Tx) -> Progress | None:
    """Lock the sealer's progress and return it; None when another transaction holds it."""
    return await _try_lock_progress.maybe(tx)


async def lock_progress(tx: Tx) -> Progress:
    """Lock the sealer's progress and return it; wait for the lock."""
    return await _lock_progress.one(tx)


async def list_unsealed(tx: Tx, progress: Progress, most: int) -> list[Unsealed]:
    """Return the next events to seal, in their order."""
    if progress.restored:
        return await _list_unsealed_after_restore.all(
            tx, recorded_xid=progress.recorded_xid, horizon=progress.horizon, most=most
        )
    return await _list_unsealed.all(
        tx,
        recorded_xid=progress.recorded_xid,
        event_id=progress.event_id,
        horizon=progress.horizon,
        most=most,
    )


async def move_progress(tx: Tx, recorded_xid: int, event_id: UUID) -> None:
    """Store how far the sealer is."""
    await _move_progress.run(tx, recorded_xid=recorded_xid, event_id=event_id)


async def list_chains(tx: Tx, chain_ids: Sequence[UUID] | None = None) -> list[Chain]:
    """Return the ends of these chains; None: of all."""
    if chain_ids is None:
        return await _list_every_chain.all(tx)
    return await _list_chains.all(tx, chain_ids=list(chain_ids))


async def put_chains(tx: Tx, chains: Sequence[Chain]) -> None:
    """Store the new ends of chains."""
    await _put_chains.run(
        tx,
        chain_ids=[chain.chain_id for chain in chains],
        positions=[chain.position for chain in chains],
        hashes=[chain.hash for chain in chains],
    )


async def insert_seals(tx: Tx, sealed: Sequence[Seal], at: datetime) -> None:
    """Store seals that were made at `at`."""
    await _insert_seals.run(
        tx,
        sealed_at=at,
        form=FORM,
        chain_ids=[one.chain_id for one in sealed],
        positions=[one.position for one in sealed],
        event_ids=[one.event_id for one in sealed],
        occurred=[one.occurred_at for one in sealed],
        salts=[one.salt for one in sealed],
        personals=[one.personal for one in sealed],
        leaves=[one.leaf for one in sealed],
        previous=[one.previous for one in sealed],
        hashes=[one.hash for one in sealed],
    )


async def list_due(tx: Tx, before: datetime, behind: int) -> list[Chain]:
    """Return the chains signed last before `before`, or with `behind` or more unsigned events."""
    return await _list_due.all(tx, before=before, behind=behind)


async def insert_checkpoint(tx: Tx, checkpoint: Checkpoint) -> None:
    """Store a signed checkpoint, and its position in the row of its chain."""
    await _insert_checkpoint.run(
        tx,
        checkpoint_id=checkpoint.checkpoint_id,
        chain_id=checkpoint.chain_id,
        position=checkpoint.position,
        kind=checkpoint.kind,
        signed_at=checkpoint.signed_at,
        kid=checkpoint.kid,
        public_jwk=checkpoint.public_jwk,
        token=checkpoint.token,
        mac=checkpoint.mac,
    )
    if checkpoint.kind == "head":
        await _note_checkpoint.run(
            tx,
            chain_id=checkpoint.chain_id,
            position=checkpoint.position,
            signed_at=checkpoint.signed_at,
        )


async def list_checkpoints(
    tx: Tx, chain_id: UUID, before: UUID | None, most: int
) -> list[Checkpoint]:
    """Return a page of a chain's checkpoints, the newest first."""
    return await _list_checkpoints.all(tx, chain_id=chain_id, before=before, most=most)


async def drop_checkpoints(tx: Tx, before: datetime) -> int:
    """Drop the checkpoints of dropped events that were signed before `before`; return how many.

    The caller has just signed where each chain begins from now on.
    """
    return (await _drop_checkpoints.one(tx, before=before)).dropped


async def find_beginning(tx: Tx, chain_id: UUID, before: datetime) -> Last | None:
    """Return the place before the first seal made at `before` or later; None: there is none."""
    return await _find_beginning.maybe(tx, chain_id=chain_id, before=before)


async def list_links(tx: Tx, chain_id: UUID, after: int, upto: int, most: int) -> list[Link]:
    """Return the seals of a chain after `after` and up to `upto`, each with its event."""
    return await _list_links.all(tx, chain_id=chain_id, after=after, upto=upto, most=most)


async def list_strays(
    tx: Tx, chain_id: UUID, beginning: int, progress: Progress, after: Stray | None, most: int
) -> list[Stray]:
    """Check the next `most` events of a chain; return those whose seal is missing.

    Only seals after `beginning` count, since the chain is checked from there.  The last event that
    was checked is always returned, with or without a seal.  Returns nothing when no event is left.
    """
    return await _list_strays.all(
        tx,
        chain_id=chain_id,
        beginning=beginning,
        recorded_xid=progress.recorded_xid,
        event_id=progress.event_id,
        after=after.event_id if after else UUID(int=0),
        after_at=after.occurred_at if after else datetime(1970, 1, 1, tzinfo=UTC),
        most=most,
    )


async def list_waiting(tx: Tx, progress: Progress) -> list[Waiting]:
    """Return, by chain, the events that the sealer has not reached."""
    return await _list_waiting.all(
        tx, recorded_xid=progress.recorded_xid, event_id=progress.event_id
    )


async def list_recorded(tx: Tx) -> set[UUID]:
    """Return the chains that have events."""
    return {row.chain_id for row in await _list_recorded.all(tx)}


async def list_signed(tx: Tx) -> set[UUID]:
    """Return the chains that have a checkpoint."""
    return {row.chain_id for row in await _list_signed.all(tx)}


async def find_public_jwk(tx: Tx, token: str) -> str:
    """Return the public key that a checkpoint names.  ValueError when its id is unknown."""
    found = await _find_public_jwk.maybe(tx, kid=jose.read_kid(token))
    if found is None:
        raise ValueError("unknown key")
    return found.public_jwk
