"""Cutoffs: a change revokes all tokens that were issued from the state before it.

A cutoff is a point in time; it applies to tokens issued up to it.  Two rules hold:

- An old token is revoked.  The `iat` of a token is not later than the moment before its state was
  read, so a change that commits afterwards has a later cutoff.
- A new token is valid.  Its `iat` is later than every cutoff that was read with its state.  When
  such a cutoff is not over yet, issuing waits until it is, and reads the state again.

State and cutoffs are read from the database in one statement.  They are written in one transaction,
so a worker that sees the new state also sees its cutoff.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from service.domain import revocations
from service.domain.revocations import Kind
from service.flows.shared.ending import LASTS
from service.kernel.ids import TenantId
from service.kernel.postgres import Decision
from service.kernel.refusal import unavailable
from service.runtime import Runtime

State = TypeVar("State")

_LONGEST_WAIT: Final = 2.5
_MARGIN: Final = 0.01
"""Seconds added to a wait, since a timer may fire a little early."""

_MOST_WAITS: Final = 3


async def after_cutoffs(
    rt: Runtime,
    at: datetime,
    state: State,
    *,
    cutoff: Callable[[State, datetime], datetime | None],
    again: Callable[[datetime], Awaitable[State]],
) -> tuple[datetime, State]:
    """Return when to issue a token, and the state to issue it from.

    Usually returns `at` and `state`.  `cutoff` returns the latest cutoff, if any.  When that is not
    over, this waits for it (two seconds at most) and reads the state with `again`, since it may
    have changed.  Refused(UNAVAILABLE) when cutoffs keep coming, or one is far in the future.
    """
    for _ in range(_MOST_WAITS):
        latest = cutoff(state, at)
        if latest is None or math.floor(at.timestamp()) > math.floor(latest.timestamp()):
            return at, state
        ahead = math.floor(latest.timestamp()) + 1 - rt.clock.now().timestamp() + _MARGIN
        if ahead > _LONGEST_WAIT:
            raise unavailable("issue: cutoff ahead", math.ceil(ahead))
        await rt.clock.sleep_until(rt.clock.monotonic() + ahead)
        at = rt.clock.now()
        state = await again(at)
    raise unavailable("issue: cut off again and again")


async def cut_off(
    rt: Runtime, tx: Decision, kind: Kind, value: str, tenant_id: TenantId | None, reason: str
) -> None:
    """Revoke all tokens that are issued until this transaction commits.

    It counts from now, not from the time of the call, which may have waited for locks.
    """
    await revocations.cut_off(
        tx,
        kind,
        value,
        tenant_id=tenant_id,
        reason=reason,
        at=rt.clock.now(),
        lasts=LASTS,
    )
