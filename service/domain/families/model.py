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
    SUPERSEDED = "superseded"
    """Older, and whoever sends it may be honest: it is worth the current one again."""
    REPLAYED = "replayed"
    ENDED = "ended"
    EXPIRED = "expired"


class PresentedToken(Struct, frozen=True):
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


class Grace(Struct, frozen=True):
    """How long a superseded token is worth the current one again; see `Family.state`.

    At `every` zero a second use is a replay, whatever `lost_answer` says.
    """

    every: timedelta
    lost_answer: timedelta


class Family(Struct, frozen=True, kw_only=True):
    """The row, and the session it belongs to."""

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
    """When the previous token was superseded; of the first generation, when the family began."""
    superseded: tuple[datetime, ...]
    """When the tokens before that were, the newest last: the 127 newest at most.

    Older ones count as long ago.  So a client that rotates more than 127 times within the grace is
    taken for a thief when it sends one of them.  The default of `limits.refresh`, 120 a minute,
    does not allow that; a policy may.  To take such a token for an honest one would be worse: a
    thief who rotates that fast would never be found out."""
    idle_ttl: timedelta
    idle_expires_at: datetime
    last_network: str | None
    last_agent: str
    recorded: bool
    session_ended_at: datetime | None

    def state(self, presented: PresentedToken, at: datetime, where: Where, grace: Grace) -> State:
        """Judge a genuine token that arrived `at`, from `where`.

        Ended outranks replayed: the token of a session that was signed out is refused and is no
        theft.  Expired outranks replayed for the same reason.  An older token is worth the current
        one again, which makes no second live token:

        - when it was superseded less than the grace before the request arrived, whatever was used
          meanwhile: tabs of one browser send one cookie all at once;
        - when nobody had used its successor by the time the request arrived, and it comes from
          where the family was last seen, for as long as an answer may be lost: a commit that hangs
          is told as 503 and takes effect all the same.

        Any other older token is a copy in other hands.  So is a newer one.
        """
        if self.session_ended_at is not None or self.status is not Status.LIVE:
            return State.ENDED
        if at >= min(self.idle_expires_at, self.absolute_expires_at):
            return State.EXPIRED
        if presented.generation == self.generation:
            return State.CURRENT
        superseded = self.superseded_at(presented.generation)
        if superseded is None or not grace.every:
            return State.REPLAYED
        used = self.superseded_at(presented.generation + 1)
        unused = used is None or at < used
        lost = unused and not self.moved(where) and at <= superseded + grace.lost_answer
        return State.SUPERSEDED if lost or at <= superseded + grace.every else State.REPLAYED

    def superseded_at(self, generation: int) -> datetime | None:
        """Return when the token of a generation was superseded; None: not, or not remembered."""
        times = (*self.superseded, self.rotated_at)
        age = self.generation - generation
        return times[-age] if 0 < age <= len(times) else None

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
