"""What a family is, and what a token of it is worth."""

import ipaddress
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from service.kernel.ids import SessionId, TenantId, UserId


class Status(StrEnum):
    """What the row says."""

    LIVE = "live"
    ENDED = "ended"
    BURNED = "burned"


class State(StrEnum):
    """What a genuine token of the family is worth at a moment."""

    CURRENT = "current"
    PREVIOUS = "previous"
    """Its successor is the current one and has not been used; still within the grace."""
    REPLAYED = "replayed"
    ENDED = "ended"
    EXPIRED = "expired"


class Presented(Struct, frozen=True):
    """A token whose MAC is ours: genuine, of whatever age."""

    handle: bytes
    handle_hash: bytes
    generation: int
    token_hash: bytes


class Where(Struct, frozen=True):
    """From where a token is used.  `network` is the /24 or /64 of the address."""

    ip: str | None
    network: str | None
    agent: str


class Family(Struct, frozen=True, kw_only=True):
    """The row, and the session it belongs to, both locked."""

    handle_hash: bytes
    absolute_expires_at: datetime
    session_id: SessionId
    tenant_id: TenantId
    user_id: UserId
    client_id: str
    amr: tuple[str, ...]
    auth_time: datetime
    status: Status
    generation: int
    token_hash: bytes
    rotated_at: datetime
    idle_ttl: timedelta
    idle_expires_at: datetime
    last_network: str | None
    last_agent: str
    recorded: bool
    session_ended_at: datetime | None

    def state(self, presented: Presented, at: datetime, grace: timedelta) -> State:
        """Judge a genuine token.

        Ended outranks replayed: the token of a session that was signed out is refused and is no
        theft.  Expired outranks replayed for the same reason.  The window of the previous token
        closes when its successor is used, since the successor's own use makes it two behind.
        """
        if self.session_ended_at is not None or self.status is not Status.LIVE:
            return State.ENDED
        if at >= min(self.idle_expires_at, self.absolute_expires_at):
            return State.EXPIRED
        if presented.generation == self.generation:
            return State.CURRENT
        if presented.generation == self.generation - 1 and at <= self.rotated_at + grace:
            return State.PREVIOUS
        return State.REPLAYED

    def moved(self, where: Where) -> bool:
        """Tell whether it is used from another network or agent than last time."""
        return (self.last_network, self.last_agent) != (where.network, where.agent)


@lru_cache(4096)
def network_of(ip: str | None) -> str | None:
    """Return the network an address is in: /24 for IPv4, /64 for IPv6."""
    if ip is None:
        return None
    address = ipaddress.ip_address(ip)
    length = 24 if address.version == 4 else 64  # noqa: PLR2004 - the version
    return str(ipaddress.ip_network(f"{ip}/{length}", strict=False))
