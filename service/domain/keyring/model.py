"""The life of a signing key: pending, active, retired, removed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from service.kernel.jose import ALGORITHMS, Algorithm

State: TypeAlias = Literal["pending", "active", "retired", "removed"]


class Usage(StrEnum):
    """The keys that are derived from the root secret."""

    REFRESH = "refresh-token"
    DEVICE = "device-cookie"
    PHANTOM = "phantom-account"
    CURSOR = "cursor"
    API_KEY = "api-key"
    CLIENT = "client-secret"
    CHECKPOINT = "audit-checkpoint"
    RECIPIENT = "recipient"
    FINGERPRINT = "fingerprint"
    IDEMPOTENCY = "idempotency"


class Described(Struct, frozen=True, kw_only=True):
    """A key without its key material.

    Its state depends on the time only, so that it changes on all workers at once.  Only a kill
    comes unannounced; a revocation of the `kid` tells all workers.
    """

    kid: str
    algorithm: Algorithm
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None
    removes_at: datetime | None
    killed_at: datetime | None

    def state(self, at: datetime) -> State:
        """Return the state of the key at a moment."""
        if self.killed_at is not None:
            return "removed"
        if self.removes_at is not None and at >= self.removes_at:
            return "removed"
        if at < self.activates_at:
            return "pending"
        if self.retires_at is not None and at >= self.retires_at:
            return "retired"
        return "active"

    def changes(self) -> list[datetime]:
        """Return the times at which the state of the key changes."""
        ends = (self.retires_at, self.removes_at)
        return [self.activates_at, *(end for end in ends if end is not None)]

    def signs(self, at: datetime) -> bool:
        """Whether the key may sign at a moment.

        A key that was made to sign at once also signs for a call that began just before.
        """
        return self.state(max(at, self.created_at)) == "active"


class Stored(Described, frozen=True, kw_only=True):
    """A row."""

    sealed: bytes


class Schedule(Struct, frozen=True):
    """Which algorithms have keys, and when the keys change, by policy.

    Each algorithm in use has its own keys: one active, at most one pending, and the retired ones.
    """

    access_tokens: Algorithm
    """The algorithm of access tokens, and of what the service signs for itself."""
    id_tokens: tuple[Algorithm, ...]
    publish_ahead: timedelta
    """How long a key is published before it signs, because verifiers cache the keys."""
    rotate_every: timedelta
    retired_for: timedelta
    """How long a key stays published after it last signed: longer than any token lives."""

    @property
    def in_use(self) -> tuple[Algorithm, ...]:
        """The algorithms in use, each once."""
        return tuple(dict.fromkeys((self.access_tokens, *self.id_tokens)))

    def due(self, keys: Iterable[Described], at: datetime) -> list[Algorithm]:
        """Return the algorithms whose next key it is time to publish."""
        living = [key for key in keys if key.state(at) in ("pending", "active")]
        return [one for one in self.in_use if self._is_due(_of(one, living), at)]

    def _is_due(self, living: list[Described], at: datetime) -> bool:
        if not living:
            return True
        newest = max(key.activates_at for key in living)
        return newest <= at and at >= newest + self.rotate_every - self.publish_ahead

    def activates_at(self, new: Algorithm, keys: Iterable[Described], at: datetime) -> datetime:
        """Return when a key that is published now begins to sign.

        That is at once if it replaces no active key.  A key for access tokens also replaces those
        of the algorithm before, which goes on signing access tokens until the new key begins.
        """
        replaced = [key for key in keys if key.signs(at)]
        if new != self.access_tokens:
            replaced = _of(new, replaced)
        return at + self.publish_ahead if replaced else at

    def replaced_by(self, new: Algorithm) -> list[Algorithm]:
        """Return the algorithms whose keys retire when a key of `new` begins to sign.

        That is `new` itself.  When it is the algorithm of access tokens, the algorithms that are no
        longer in use retire as well.
        """
        unused = set(ALGORITHMS) - {*self.in_use} if new == self.access_tokens else ()
        return [new, *sorted(unused)]

    def kept_on(self, killed: Described, left: Iterable[Described]) -> list[Algorithm]:
        """Return the algorithms whose keys go on when a pending key is killed.

        Keys of several algorithms may begin to sign at the same moment.  What the others replace
        retires then as before.  All else goes on, whatever the policy was when the killed key was
        published.
        """
        beside = [key for key in left if key.activates_at == killed.activates_at]
        replaced = {one for key in beside for one in self.replaced_by(key.algorithm)}
        return [one for one in ALGORITHMS if one not in replaced]

    def access_token_algorithm(self, keys: Sequence[Described], at: datetime) -> Algorithm:
        """Return the algorithm that signs access tokens at a moment.

        It is the policy's once a key of it is active.  Until then it is the algorithm before: an
        active one that is no longer in use, if there is one; else that of the youngest active key.
        """
        if any(key.algorithm == self.access_tokens and key.signs(at) for key in keys):
            return self.access_tokens
        before = [key for key in keys if key.signs(at)]
        if not before:
            return self.access_tokens
        in_use = self.in_use
        return max(
            before, key=lambda key: (key.algorithm not in in_use, key.activates_at)
        ).algorithm

    def needs_successor(self, killed: Described, left: Sequence[Described], at: datetime) -> bool:
        """Whether a new key must sign at once in place of a killed one."""
        if killed.state(at) != "active" or any(
            key.signs(at) for key in _of(killed.algorithm, left)
        ):
            return False
        needed = {*self.in_use, self.access_token_algorithm([killed, *left], at)}
        return killed.algorithm in needed


def _of(algorithm: Algorithm, keys: Iterable[Described]) -> list[Described]:
    return [key for key in keys if key.algorithm == algorithm]
