"""A refresh-token family, and what each of its tokens is good for."""

import ipaddress
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from service.kernel.ids import SessionId, TenantId, UserId


class Status(StrEnum):
    """The stored status of a family."""

    LIVE = "live"
    ENDED = "ended"
    BURNED = "burned"


class State(StrEnum):
    """What a genuine token of the family is good for at a moment."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    """An older token, from a client that may be honest: it gets the current token again."""
    REPLAYED = "replayed"
    ENDED = "ended"
    EXPIRED = "expired"


class PresentedToken(Struct, frozen=True):
    """A token with our MAC: it is genuine, but may be old."""

    handle: bytes
    handle_hash: bytes
    generation: int
    token_hash: bytes


class Where(Struct, frozen=True):
    """Where a token is used from.  `network` is the /24 (IPv4) or /64 (IPv6) of the address."""

    ip: str | None
    network: str | None
    agent: str


class Grace(Struct, frozen=True):
    """How long a superseded token gets the current token again; see `Family.state`.

    With `every` zero a second use is a replay, whatever `lost_answer` is.
    """

    every: timedelta
    lost_answer: timedelta


class Family(Struct, frozen=True, kw_only=True):
    """A row of a family, with facts of its session."""

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
    """When the previous token was superseded; at generation 1, when the family began."""
    superseded: tuple[datetime, ...]
    """When the tokens before that one were superseded, the newest last; at most 127 are kept.

    Older tokens count as superseded long ago.  So a client that rotates more than 127 times within
    the grace, and then sends one of those tokens, is treated as a thief.  The default of
    `limits.refresh`, 120 a minute, does not allow that; a policy may.  Treating such a token as
    honest would be worse: a thief who rotates that fast would never be detected."""
    idle_ttl: timedelta
    idle_expires_at: datetime
    last_network: str | None
    last_agent: str
    recorded: bool
    session_ended_at: datetime | None

    def state(self, presented: PresentedToken, at: datetime, where: Where, grace: Grace) -> State:
        """Judge a genuine token that arrived `at`, from `where`.

        Ended is checked before replayed: a token of a session that was signed out is refused and
        does not count as theft.  Expired is checked before replayed for the same reason.  An older
        token gets the current token again, so that there is never a second live token, in two
        cases:

        - It was superseded less than the grace before the request arrived, whatever was used
          meanwhile: the tabs of one browser may all send the same cookie at once.
        - Its successor had not been used when the request arrived, it comes from where the family
          was last seen, and an answer may have been lost (`lost_answer`): a commit that hangs is
          answered with 503 and takes effect all the same.

        Any other older token is a stolen copy.  So is a token newer than the current one.
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
        """Return when a generation's token was superseded; None: it was not, or is not known."""
        times = (*self.superseded, self.rotated_at)
        age = self.generation - generation
        return times[-age] if 0 < age <= len(times) else None

    def moved(self, where: Where) -> bool:
        """Whether the network or the user agent differs from the last use."""
        return (self.last_network, self.last_agent) != (where.network, where.agent)


@lru_cache(4096)
def network_of(ip: str | None) -> str | None:
    """Return the network of an address: /24 for IPv4, /64 for IPv6; None without an address."""
    if ip is None:
        return None
    address = ipaddress.ip_address(ip)
    length = 24 if address.version == 4 else 64  # noqa: PLR2004 - the version
    return str(ipaddress.ip_network(f"{ip}/{length}", strict=False))
