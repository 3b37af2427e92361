"""The life of a signing key: pending, active, retired, removed."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from service.kernel.jose import Algorithm


class Usage(StrEnum):
    """What else is derived from the root secret, one key each."""

    REFRESH = "refresh-token"
    DEVICE = "device-cookie"
    PHANTOM = "phantom-account"
    CURSOR = "cursor"
    API_KEY = "api-key"
    CLIENT = "client-secret"


class Stored(Struct, frozen=True, kw_only=True):
    """A row.  Its state is a matter of time alone: all workers change together."""

    kid: str
    algorithm: Algorithm
    public_jwk: str
    sealed: bytes
    created_at: datetime
    activates_at: datetime
    retires_at: datetime | None
    removes_at: datetime | None

    def state(self, at: datetime) -> Literal["pending", "active", "retired", "removed"]:
        """Return its state at a moment."""
        if self.removes_at is not None and at >= self.removes_at:
            return "removed"
        if at < self.activates_at:
            return "pending"
        if self.retires_at is not None and at >= self.retires_at:
            return "retired"
        return "active"
