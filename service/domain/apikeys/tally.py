"""What requests leave behind without writing: uses to be counted, failures to be told of.

Both wait in memory, bounded, until a background task takes them.
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
"""Events of failures one worker writes in any minute; what comes beyond is counted in them."""

_STRANGERS, _SUBJECTS = 50, 100
"""How many are told apart at a time: addresses that present what does not exist, and all in all.
Strangers fill no more than their part, so that no flood of garbage hides a stolen key."""


class Failure(Struct, frozen=True, kw_only=True):
    """Keys that were refused alike, `count` times; `call` is the first of them."""

    why: Why
    key_id: ApiKeyId | None
    tenant_id: TenantId | None
    owner_id: UserId | None
    call: Call
    count: int


class Tally:
    """Uses and failures of one worker."""

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
        """Return the uses since the last time."""
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
        """Count a failure: by key, or by the address of whoever presents what does not exist.

        Beyond so many subjects, all others are one.
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
        """Return as many failures as may be told of now, those of keys that exist first.

        The others wait and go on counting.
        """
        while self._told and (at - self._told[0]).total_seconds() >= 60:  # noqa: PLR2004 - a minute
            self._told.popleft()
        free = MOST_PER_MINUTE - len(self._told)
        subjects = sorted(self._failures, key=lambda one: self._failures[one].key_id is None)
        del subjects[max(0, free) :]
        self._told.extend([at] * len(subjects))
        return [self._failures.pop(subject) for subject in subjects]

    def give_back(self, taken: Iterable[Uses | Failure]) -> None:
        """Keep what could not be written."""
        for one in taken:
            if isinstance(one, Uses):
                self.note_use(one.key_id, one.last, one.count)
            else:
                about = one.key_id, one.tenant_id, one.owner_id
                self.note_failure(one.call, one.why, *about, one.count)
