"""The life of a signing key: pending, active, retired, removed."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from service.kernel.jose import Algorithm

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


class Times(Struct, frozen=True):
    """When keys change, by policy."""

    publish_ahead: timedelta
    """How long a key is published before it signs, because verifiers cache the keys."""
    rotate_every: timedelta
    retired_for: timedelta
    """How long a key stays published after it last signed: longer than any token lives."""

    def successor_due(self, keys: "list[Described]", at: datetime) -> bool:
        """Whether it is time to publish the next key."""
        living = [key for key in keys if key.state(at) in ("pending", "active")]
        if not living or any(key.state(at) == "pending" for key in living):
            return False
        newest = max(key.activates_at for key in living)
        return at >= newest + self.rotate_every - self.publish_ahead
