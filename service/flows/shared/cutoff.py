"""What was issued up to a commit dies with it: a cutoff is a time, and a commit takes its own.

Two rules: a new token is valid, and an old one is dead.  `iat` is never later than the moment
before its state was read: a change that commits afterwards cuts it off.  And it is later than every
cutoff that the state was read with: whoever finds one waits until it is over, and reads again.
The state comes from the database together with its cutoffs, in one statement: they were written in
one transaction, so whoever sees the new state sees its cutoff, whichever worker made it.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from service.domain import revocations
from service.domain.revocations import Kind
from service.flows.shared.ending import LONGEST_TOKEN
from service.kernel.ids import TenantId
from service.kernel.postgres import Decision
from service.kernel.refusal import unavailable
from service.policy import seconds
from service.runtime import Runtime

State = TypeVar("State")

_LONGEST_WAIT: Final = 2.5
_MARGIN: Final = 0.01
"""Seconds.  A timer may fire a little early."""

_MOST_WAITS: Final = 3


async def after_cutoffs(
    rt: Runtime,
    at: datetime,
    state: State,
    *,
    cutoff: Callable[[State, datetime], datetime | None],
    again: Callable[[datetime], Awaitable[State]],
) -> tuple[datetime, State]:
    """Return a moment to issue a token at, and the state it is issued from.

    As given, as a rule.  Within two seconds of a cutoff (`cutoff` names the latest there is) it
    waits, and reads the state `again`: it may be another by now.  Refused(UNAVAILABLE) when one
    cutoff follows another for seconds, or lies far ahead.
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
    """Kill what was issued until this commits.

    As of now and not of the call, which waited for its locks.
    """
    await revocations.cut_off(
        tx,
        kind,
        value,
        tenant_id=tenant_id,
        reason=reason,
        at=rt.clock.now(),
        lasts=seconds(LONGEST_TOKEN + 60),
    )
