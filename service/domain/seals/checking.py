"""Checks a chain of events against its seals.  Each finding has a kind and a place."""

import hmac
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct, field

from service.domain.seals import model
from service.domain.seals.model import Checkpoint, Claims, Link, Stray, Waiting

Fault: TypeAlias = Literal[
    "changed",
    "removed",
    "inserted",
    "reordered",
    "rewritten",
    "truncated",
    "forged",
    "doubled",
    "backdated",
    "erased",
]
"""The kinds of findings.

changed: an event or its seal differs from what was sealed.  removed: it is gone.  inserted: the
event was never sealed.  reordered: seals are in another order.  rewritten: a signed checkpoint has
another hash.  truncated: the end of the chain is gone.  forged: we did not sign this checkpoint.
doubled: an event has two seals.  backdated: an event is much older than those sealed before it.
erased: personal fields are gone and no erasure is recorded.
"""

LATE = timedelta(minutes=10)
"""How much older than its predecessors an event may be: its time is that of the request."""

ERASURE = "trail.erased"
"""The type of the event which records that a person's fields were erased."""

MOST = 1000
"""At most this many findings of a chain are kept."""


class Finding(Struct, frozen=True, kw_only=True):
    """One fault: its kind, chain and place, and a sentence for the reader (`told`)."""

    fault: Fault
    chain_id: UUID
    told: str
    position: int | None = None
    event_id: UUID | None = None


class Anchor(Struct, frozen=True):
    """Where checking begins: at the start of a chain, or after the events retention dropped."""

    position: int
    hash: bytes
    expired_before: datetime | None = None


class Checked(Struct, kw_only=True):
    """The result for a chain.  `waiting` counts events that are not sealed yet: no fault."""

    chain_id: UUID
    events: int = 0
    expired: int = 0
    erased: int = 0
    waiting: int = 0
    waiting_since: datetime | None = None
    checkpoints: int = 0
    position: int = 0
    findings: list[Finding] = field(default_factory=list)


class Checker:
    """Checks one chain, seal by seal, in order."""

    def __init__(self, chain_id: UUID, mac_key: bytes) -> None:
        self.result = Checked(chain_id=chain_id)
        self.anchor = Anchor(0, model.genesis(chain_id))
        self._chain_id = chain_id
        self._mac_key = mac_key
        self._signed: dict[int, bytes] = {}
        self._newest = datetime(1970, 1, 2, tzinfo=UTC)
        self._erased: dict[frozenset[str], Link] = {}
        self._on_record: set[str] = set()
        self._hash = self.anchor.hash

    def add_checkpoint(self, one: Checkpoint) -> None:
        """Take a checkpoint from the database.  It counts when its signature and MAC are ours."""
        try:
            claims = model.read_claims(one.token, one.public_jwk)
            ours = hmac.compare_digest(one.mac, model.mac(self._mac_key, one.token))
            said = (claims.chain_id, claims.position, claims.kind)
            genuine = ours and said == (one.chain_id, one.position, one.kind)
        except ValueError:
            genuine = False
        if genuine:
            self.add_claims(claims)
        else:
            told = f"checkpoint {one.checkpoint_id} is not one that was signed here"
            self._add("forged", told, one.position, None)

    def add_claims(self, claims: Claims) -> None:
        """Take the claims of a genuine checkpoint, for example one that was kept elsewhere."""
        self.result.checkpoints += 1
        known = self._signed.setdefault(claims.position, claims.digest)
        if known != claims.digest:
            self._add("rewritten", "two checkpoints say different hashes", claims.position, None)
        if claims.kind == "retention":
            before = datetime.fromtimestamp(claims.before or 0, UTC)
            earlier = self.anchor.expired_before
            if earlier is None or before > earlier:
                self.anchor = Anchor(claims.position, claims.digest, before)
                self._hash = self.anchor.hash
                self.result.position = self.anchor.position

    def check(self, link: Link) -> None:
        """Check the next seal and its event."""
        self._check_place(link)
        self._check_event(link)
        if link.doubled:
            self._find("doubled", "the event has another seal as well", link)
        signed = self._signed.get(link.position)
        if signed is not None and signed != link.hash:
            self._find("rewritten", "a signed checkpoint says another hash here", link)
        self._hash = link.hash
        self.result.position = link.position

    def add_waiting(self, waiting: Waiting) -> None:
        """Note the events that have no seal yet.  An erasure among them counts as recorded."""
        self.result.waiting, self.result.waiting_since = waiting.events, waiting.since
        self._on_record |= {str(person) for person in waiting.erased}

    def finish(self, head: int) -> Checked:
        """Check what can be known only at the end; `head` is the stored length of the chain."""
        signed = max(self._signed, default=0)
        if (end := max(head, signed)) > self.result.position:
            first = self.result.position + 1
            self._find("truncated", f"seals {first} to {end} are gone from the end")
        for whose, link in self._erased.items():
            if not whose & self._on_record:
                self._find("erased", "personal fields are gone, no erasure is on record", link)
        return self.result

    def add_stray(self, stray: Stray) -> None:
        """Note an event without a seal.  If a seal has lost this event, its time was changed."""
        if not stray.stray:
            return
        for place, found in enumerate(self.result.findings):
            if found.fault == "removed" and found.event_id == stray.event_id:
                self.result.findings[place] = Finding(
                    fault="changed",
                    chain_id=self._chain_id,
                    told="the event says another time than was sealed",
                    position=found.position,
                    event_id=stray.event_id,
                )
                return
        self._add("inserted", "the event was never sealed", None, stray.event_id)

    def _check_place(self, link: Link) -> None:
        expected = self.result.position + 1
        if link.position != expected:
            told = f"seals {expected} to {link.position - 1}, before this one, are gone"
            self._find("removed", told, link)
        elif model.link(link) != link.hash:
            self._find("changed", "the seal was changed", link)
        elif link.previous != self._hash:
            self._find("reordered", f"the seal does not follow {expected - 1}", link)

    def _check_event(self, link: Link) -> None:
        if not link.there:
            expired = self.anchor.expired_before
            if expired and link.occurred_at < expired and model.link(link) == link.hash:
                self.result.expired += 1
            else:
                self._find("removed", "the event is gone", link)
            return
        self.result.events += 1
        if link.form not in model.PERSONAL_KEYS:
            self._find("changed", f"sealed in a form ({link.form}) that is not known", link)
        elif model.leaf(link, link.form, link.personal) != link.leaf:
            self._find("changed", "the event is not what was sealed", link)
        elif link.salt is None:
            self._check_erased(link)
        elif model.personal_digest(link, link.form, link.salt) != link.personal:
            self._find("changed", "address, agent or detail are not what was sealed", link)
        if link.occurred_at < self._newest - LATE:
            self._find("backdated", "it claims to be older than what was sealed before it", link)
        self._newest = max(self._newest, link.occurred_at)
        if link.event_type == ERASURE and link.user_id is not None:
            self._on_record.add(str(link.user_id))

    def _check_erased(self, link: Link) -> None:
        if not model.is_erased(link, link.form):
            self._find("changed", "the salt is gone and personal fields are there", link)
            return
        self.result.erased += 1
        # The event may be about the erased person or by them.  The record comes later in the chain.
        whose = frozenset(str(one) for one in (link.user_id, link.actor_id) if one is not None)
        self._erased.setdefault(whose, link)

    def _find(self, fault: Fault, told: str, link: Link | None = None) -> None:
        self._add(fault, told, link.position if link else None, link.event_id if link else None)

    def _add(self, fault: Fault, told: str, position: int | None, event_id: UUID | None) -> None:
        if len(self.result.findings) < MOST:
            self.result.findings.append(
                Finding(
                    fault=fault,
                    chain_id=self._chain_id,
                    told=told,
                    position=position,
                    event_id=event_id,
                )
            )
