"""Counts of uses and failures that requests leave in memory, because requests must not write.

Both are bounded, and wait until a background task writes them.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from service.domain.apikeys.model import Why
from service.domain.apikeys.store import Uses
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId, TenantId, UserId

MOST_PER_MINUTE = 20
"""How many failure events one worker writes in any minute.  Further failures add to counts."""

_STRANGERS, _SUBJECTS = 50, 100
"""How many subjects are counted apart: addresses that present unknown keys, and all subjects.
Unknown keys have a limit of their own, so that a flood of garbage cannot hide a stolen key."""


class Failure(Struct, frozen=True, kw_only=True):
    """Refusals of the same kind, `count` of them; `call` is the first request."""

    why: Why
    key_id: ApiKeyId | None
    tenant_id: TenantId | None
    owner_id: UserId | None
    call: Call
    count: int


class Tally:
    """The uses and failures that one worker has counted."""

    def __init__(self) -> None:
        self._uses: dict[ApiKeyId, Uses] = {}
        self._failures: dict[tuple[object, ...], Failure] = {}
        self._told: deque[datetime] = deque()

    def note_use(self, key_id: ApiKeyId, at: datetime, count: int = 1) -> None:
        """Count a use."""
        before = self._uses.get(key_id)
        if before is not None:
            count, at = before.count + count, max(before.last, at)
        self._uses[key_id] = Uses(key_id, count, at)

    def take_uses(self) -> list[Uses]:
        """Return the uses since the last call, and forget them."""
        taken = sorted(self._uses.values(), key=lambda one: one.key_id)
        self._uses = {}
        return taken

    def note_failure(
        self,
        call: Call,
        why: Why,
        key_id: ApiKeyId | None = None,
        tenant_id: TenantId | None = None,
        owner_id: UserId | None = None,
        count: int = 1,
    ) -> None:
        """Count a failure, by key; for an unknown key, by the address of the caller.

        When too many subjects are counted already, all others share one count.
        """
        subject: tuple[object, ...] = (why, key_id or call.ip)
        most = _SUBJECTS if key_id else _STRANGERS
        if subject not in self._failures and len(self._failures) >= most:
            subject, why = (None,), Why.UNKNOWN
            key_id = tenant_id = owner_id = None
        before = self._failures.get(subject)
        self._failures[subject] = Failure(
            why=before.why if before else why,
            key_id=key_id,
            tenant_id=tenant_id,
            owner_id=owner_id,
            call=before.call if before else call,
            count=before.count + count if before else count,
        )

    def take_failures(self, at: datetime) -> list[Failure]:
        """Return as many failures as may be recorded now, those of existing keys first.

        The others wait, and their counts go on.
        """
        while self._told and (at - self._told[0]).total_seconds() >= 60:  # noqa: PLR2004 - a minute
            self._told.popleft()
        free = MOST_PER_MINUTE - len(self._told)
        subjects = sorted(self._failures, key=lambda one: self._failures[one].key_id is None)
        del subjects[max(0, free) :]
        self._told.extend([at] * len(subjects))
        return [self._failures.pop(subject) for subject in subjects]

    def give_back(self, taken: Iterable[Uses | Failure]) -> None:
        """Take back uses and failures that could not be written."""
        for one in taken:
            if isinstance(one, Uses):
                self.note_use(one.key_id, one.last, one.count)
            else:
                about = one.key_id, one.tenant_id, one.owner_id
                self.note_failure(one.call, one.why, *about, one.count)
