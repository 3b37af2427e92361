"""Statements on auth_revocations."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain.revocations.model import CUTOFF_KINDS, Head, Kind, Marks, Revocation
from service.kernel.ids import TenantId
from service.kernel.postgres import Decision
from service.kernel.sql import Batch, Queries, Tx

queries = Queries("revocations")
_insert = queries.rows("insert", Revocation)
_head = queries.rows("head", Head)
_list_after = queries.rows("list_after", Revocation)
_find = queries.rows("find", Revocation)
_find_any = queries.rows("find_any", Revocation)
_prune = queries.rows("prune", Batch)

UNTIL_COMMITTED = timedelta(seconds=1)
"""How far in the future a cutoff is set, since the change commits later.  A refresh or an exchange
that reads the old state meanwhile need not wait for that transaction."""


async def revoke(
    tx: Decision,
    kind: Kind,
    values: Sequence[str],
    *,
    tenant_id: TenantId | None,
    reason: str,
    at: datetime,
    expires_at: datetime,
    cutoff: datetime | None = None,
) -> list[Revocation]:
    """Revoke, as the last statement in the transaction of the act that causes it.

    From here to the commit, all other revocations of the deployment wait.  The decision announces
    it after its commit.  `expires_at` is when the last token it applies to has expired.  `cutoff`,
    for kinds that have one, is `at` unless given.  With `tenant_id`, a person (`sub`) loses only
    the tokens of that organization.
    """
    if not values:
        return []
    cutoff = (cutoff or at) if kind in CUTOFF_KINDS else None
    made = await _insert.all(
        tx,
        kinds=[kind.value] * len(values),
        values=list(values),
        cutoffs=[cutoff] * len(values),
        tenant_id=tenant_id,
        reason=reason,
        revoked_at=at,
        expires_at=expires_at,
    )
    tx.after_commit(made)
    return made


async def cut_off(
    tx: Decision,
    kind: Kind,
    value: str,
    *,
    tenant_id: TenantId | None,
    reason: str,
    at: datetime,
    lasts: timedelta,
) -> None:
    """Revoke what was issued until this commits; a kind that has a cutoff.

    The cutoff lies a second after `at`.  When the commit comes later than that, the decision cuts
    off again, as it announces.  `lasts`: how long the last token concerned lives.
    """
    cutoff = at + UNTIL_COMMITTED
    await revoke(
        tx,
        kind,
        [value],
        tenant_id=tenant_id,
        reason=reason,
        at=at,
        expires_at=cutoff + lasts,
        cutoff=cutoff,
    )


async def cut_off_again(tx: Decision, entry: Revocation, at: datetime) -> None:
    """Revoke once more, for as long, what was issued until this commits."""
    await cut_off(
        tx,
        entry.kind,
        entry.value,
        tenant_id=entry.tenant_id,
        reason=entry.reason,
        at=at,
        lasts=entry.expires_at - entry.revoked_at - UNTIL_COMMITTED,
    )


async def read_head(tx: Tx) -> Head:
    """Return the newest `seq` and its epoch."""
    return await _head.one(tx)


async def list_after(tx: Tx, after: int, at: datetime, most: int) -> list[Revocation]:
    """Return the revocations in force that are newer than `after`, in order."""
    return await _list_after.all(tx, after=after, at=at, most=most)


async def find(tx: Tx, seq: int) -> Revocation | None:
    """Return an entry of the feed, in force or not."""
    return await _find.maybe(tx, seq=seq)


async def find_any(tx: Tx, marks: Marks, at: datetime) -> Revocation | None:
    """Return a revocation in the table that applies to a token; None when there is none."""
    pairs = marks.pairs()
    found = await _find_any.all(
        tx, kinds=[kind.value for kind, _ in pairs], values=[value for _, value in pairs], at=at
    )
    hits = (entry for entry in found if entry.mark in pairs and entry.hits(marks.iat))
    return next(hits, None)


async def prune(tx: Tx, after: datetime, before: datetime, most: int) -> Batch:
    """Drop the revocations that no valid token can be subject to any more."""
    return await _prune.one(tx, after=after, before=before, most=most)
