"""Revocations: what they name, and which tokens they apply to."""

import math
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from service.kernel.ids import TenantId


class Kind(StrEnum):
    """The property of a token that a revocation names."""

    JTI = "jti"
    SID = "sid"
    SUB = "sub"
    TENANT_ID = "tenant_id"
    CLIENT_ID = "client_id"
    KID = "kid"
    AKID = "akid"

    __hash__ = str.__hash__  # an enumeration's own is Python's, and each check takes eight


# Looked up once: members of an enumeration are slow to find by name, and each check needs eight.
_JTI, _SID, _SUB, _TENANT_ID, _CLIENT_ID, _KID, _AKID = Kind

CUTOFF_KINDS = frozenset({Kind.SUB, Kind.TENANT_ID, Kind.CLIENT_ID})
"""These kinds revoke tokens issued up to a moment, and not those issued afterwards."""


Mark: TypeAlias = tuple[Kind, str]
"""A kind and a value of it: a revocation names one, and a token has several."""


class Revocation(Struct, frozen=True, kw_only=True):
    """One entry.  `seq` is its place in the order of commits, without gaps.

    `tenant_id` is the organization that revoked; None for the platform.  With it, a person (`sub`)
    loses their tokens in that organization only.
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
        """Whether its cutoff was over before the commit.  `at` is a time after the commit."""
        return self.cutoff is not None and self.revoked_at < self.cutoff <= at

    @property
    def within(self) -> TenantId | None:
        """The only organization whose tokens this applies to; None: to those of any."""
        return self.tenant_id if self.kind is Kind.SUB else None

    @property
    def mark(self) -> Mark:
        """The mark it names.  A person in one organization has a mark of their own."""
        within = self.within
        return self.kind, self.value if within is None else _member(self.value, str(within))

    def hits(self, iat: int) -> bool:
        """Whether it applies to a token issued at `iat` (whole seconds).

        `iat` is rounded down, so the second of the cutoff counts as before it: one refresh too many
        is better than one token that stays valid.
        """
        return self.cutoff is None or iat <= math.floor(self.cutoff.timestamp())


class Head(Struct, frozen=True):
    """The newest `seq` of the table, and its epoch.

    After a restore or a failover, the same numbers may be given to other entries.  That is another
    epoch.
    """

    seq: int = 0
    epoch: str = ""


class Marks(Struct, frozen=True):
    """All properties of a token by which it can be revoked."""

    jti: str
    iat: int
    kid: str
    sub: str
    client_id: str
    sid: str | None = None
    tenant_id: str | None = None
    akid: str | None = None

    def pairs(self) -> list[Mark]:
        """Return all marks of the token.  No revocation names an empty value."""
        found = [(_JTI, self.jti), (_KID, self.kid), (_SUB, self.sub), (_CLIENT_ID, self.client_id)]
        if self.sid is not None:
            found.append((_SID, self.sid))
        if self.tenant_id is not None:
            found += (_TENANT_ID, self.tenant_id), (_SUB, _member(self.sub, self.tenant_id))
        if self.akid is not None:
            found.append((_AKID, self.akid))
        return found


def _member(sub: str, tenant_id: str) -> str:
    """Return the value of a person in one organization; a `sub` never has a space in it."""
    return f"{sub} {tenant_id}"
