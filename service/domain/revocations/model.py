"""What can be revoked, and whom a revocation hits."""

import math
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from service.kernel.ids import TenantId


class Kind(StrEnum):
    """By what a token is named."""

    JTI = "jti"
    SID = "sid"
    SUB = "sub"
    TENANT_ID = "tenant_id"
    CLIENT_ID = "client_id"
    KID = "kid"
    AKID = "akid"

    __hash__ = str.__hash__  # an enumeration's own is Python's, and each check takes eight


# Looked up once: an enumeration's members are slow to find by name, and each check takes eight.
_JTI, _SID, _SUB, _TENANT_ID, _CLIENT_ID, _KID, _AKID = Kind

CUTOFF_KINDS = frozenset({Kind.SUB, Kind.TENANT_ID, Kind.CLIENT_ID})
"""These kill what was issued up to a moment, and spare what is issued afterwards."""


Mark: TypeAlias = tuple[Kind, str]
"""What an entry names and a token bears: a kind, and a value of that kind."""


class Revocation(Struct, frozen=True, kw_only=True):
    """One entry.  `seq` is its place in the order of commits, without a hole.

    `tenant_id` is the organization it is made in, None for the platform.  A person (`sub`) is cut
    off there alone: elsewhere they are somebody else's member.
    """

    seq: int
    kind: Kind
    value: str
    cutoff: datetime | None
    tenant_id: TenantId | None
    reason: str
    revoked_at: datetime
    expires_at: datetime

    def missed(self, at: datetime) -> bool:
        """Tell whether it was to outlast its commit, and `at`, after the commit, it did not."""
        return self.cutoff is not None and self.revoked_at < self.cutoff <= at

    @property
    def within(self) -> TenantId | None:
        """Return the only organization whose tokens are concerned; None: it does not matter."""
        return self.tenant_id if self.kind is Kind.SUB else None

    @property
    def mark(self) -> Mark:
        """Return what it names: a person in one organization is a mark of its own."""
        within = self.within
        return self.kind, self.value if within is None else _member(self.value, str(within))

    def hits(self, iat: int) -> bool:
        """Tell whether a token issued at `iat` (whole seconds) is concerned.

        `iat` is cut to the second, so the second of the cutoff itself counts as before it: better a
        refresh too many than a token too few.
        """
        return self.cutoff is None or iat <= math.floor(self.cutoff.timestamp())


class Head(Struct, frozen=True):
    """How far the table has come.

    `seq` counts within an `epoch`: after a restore or a failover the same numbers may be given out
    again, for other entries, in another epoch.
    """

    seq: int = 0
    epoch: str = ""


class Marks(Struct, frozen=True):
    """All that a token can be revoked by."""

    jti: str
    iat: int
    kid: str
    sub: str
    client_id: str
    sid: str | None = None
    tenant_id: str | None = None
    akid: str | None = None

    def pairs(self) -> list[Mark]:
        """Return each mark it bears; no entry names an empty value."""
        found = [(_JTI, self.jti), (_KID, self.kid), (_SUB, self.sub), (_CLIENT_ID, self.client_id)]
        if self.sid is not None:
            found.append((_SID, self.sid))
        if self.tenant_id is not None:
            found += (_TENANT_ID, self.tenant_id), (_SUB, _member(self.sub, self.tenant_id))
        if self.akid is not None:
            found.append((_AKID, self.akid))
        return found


def _member(sub: str, tenant_id: str) -> str:
    """Name a person in one organization; no `sub` has a space in it."""
    return f"{sub} {tenant_id}"
