"""What is hashed, and how.  A form that was used never changes: old seals are checked by it."""

import hashlib
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from service.kernel import jose
from service.kernel.ids import TenantId
from service.kernel.mac import hmac_sha256

PLATFORM: Final = UUID(int=0)
"""The chain of events that concern no organization."""

TYPE: Final = "audit-checkpoint+jwt"
FORM: Final = 2
_PERSONAL = frozenset({"address", "email", "name", "network_before", "network_now"})
PERSONAL_KEYS: Final[dict[int, frozenset[str]]] = {1: _PERSONAL, 2: _PERSONAL}
"""By form: the members of `detail` that are personal, besides `ip` and `user_agent`."""

Kind: TypeAlias = Literal["head", "retention"]

_encode = msgspec.json.Encoder(order="sorted").encode


class Unsealed(Struct, frozen=True, kw_only=True):
    """An event of the trail that has no seal yet."""

    event_id: UUID
    occurred_at: datetime
    tenant_id: UUID | None
    actor_kind: str
    actor_id: str | None
    user_id: UUID | None
    session_id: UUID | None
    event_type: str
    ip: str | None
    user_agent: str
    detail: str
    request_id: str
    chain_id: UUID
    recorded_xid: int


class Link(Struct, frozen=True, kw_only=True):
    """A seal with its event, if that is still `there`.  `doubled`: the event has a second seal."""

    position: int
    event_id: UUID
    occurred_at: datetime
    form: int
    salt: bytes | None
    personal: bytes
    leaf: bytes
    previous: bytes
    hash: bytes
    doubled: bool
    there: bool
    tenant_id: UUID | None
    actor_kind: str | None
    actor_id: str | None
    user_id: UUID | None
    session_id: UUID | None
    event_type: str | None
    ip: str | None
    user_agent: str | None
    detail: str | None
    request_id: str | None


class Seal(Struct, frozen=True, kw_only=True):
    """The seal of an event, as it is stored."""

    chain_id: UUID
    position: int
    event_id: UUID
    occurred_at: datetime
    salt: bytes
    personal: bytes
    leaf: bytes
    previous: bytes
    form: int = FORM

    @property
    def hash(self) -> bytes:
        """The hash that the next seal follows."""
        return link(self)


class Chain(Struct, frozen=True):
    """The end of a chain, and the position of its newest checkpoint."""

    chain_id: UUID
    position: int
    hash: bytes
    checkpoint_position: int = 0
    checkpoint_at: datetime | None = None


class Progress(Struct, frozen=True):
    """How far the sealer is: all events up to (recorded_xid, event_id) are sealed.

    Every transaction below `horizon` has ended.
    """

    recorded_xid: int
    event_id: UUID
    horizon: int

    @property
    def restored(self) -> bool:
        """Whether transaction numbers began anew, because the database was restored from a dump."""
        return self.horizon < self.recorded_xid


class Claims(Struct, frozen=True, kw_only=True):
    """The claims of a checkpoint: this chain had `hash` at `position`.

    `before` (Unix seconds): retention dropped the events that happened earlier.
    """

    iss: str
    iat: int
    tenant_id: str | None
    position: int
    hash: str
    kind: Kind
    before: int | None = None

    @property
    def chain_id(self) -> UUID:
        """The id of its chain."""
        return UUID(self.tenant_id) if self.tenant_id else PLATFORM

    @property
    def digest(self) -> bytes:
        """The hash as bytes.  ValueError when it is not base64url."""
        return jose.decode(self.hash)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A signed checkpoint, with the public key that verifies it."""

    checkpoint_id: UUID
    chain_id: UUID
    position: int
    kind: Kind
    signed_at: datetime
    kid: str
    public_jwk: str
    token: str
    mac: bytes


class Stray(Struct, frozen=True):
    """An event, and whether its seal is missing (`stray`)."""

    event_id: UUID
    occurred_at: datetime
    stray: bool


class Waiting(Struct, frozen=True):
    """The events of a chain without a seal yet: how many, and the time of the oldest (`since`).

    `erased` are the persons whose erasure is among these events.
    """

    chain_id: UUID
    events: int
    since: datetime
    erased: list[UUID]


def chain_of(tenant_id: TenantId | None) -> UUID:
    """Return the chain of an organization's events; None: of events without an organization."""
    return PLATFORM if tenant_id is None else tenant_id


def tenant_of(chain_id: UUID) -> TenantId | None:
    """Return the organization of a chain; None for the platform's chain."""
    return None if chain_id == PLATFORM else TenantId(chain_id)


def genesis(chain_id: UUID) -> bytes:
    """Return the hash that the first seal of a chain follows."""
    return hashlib.sha256(b"tesserra-audit-chain\0" + chain_id.bytes).digest()


def link(seal: Link | Seal) -> bytes:
    """Return the hash that the next seal follows.

    Since form 2 it includes the time of the event.  So when an event is missing, its time still
    shows whether retention, which removes by age, may have dropped it.
    """
    told = b"tesserra-audit-link\0" + seal.previous + seal.leaf
    if seal.form > 1:
        told += seal.event_id.bytes + _microseconds(seal.occurred_at).to_bytes(8, signed=True)
    return hashlib.sha256(told).digest()


def personal_digest(event: Unsealed | Link, form: int, salt: bytes) -> bytes:
    """Return the digest of the personal fields, with the salt.  Erasure removes both."""
    keys = PERSONAL_KEYS[form]
    told = {name: value for name, value in _detail(event).items() if name in keys}
    body = _encode({"ip": event.ip, "user_agent": event.user_agent, "detail": told})
    return hashlib.sha256(b"tesserra-audit-personal\0" + salt + body).digest()


def is_erased(event: Unsealed | Link, form: int) -> bool:
    """Whether no personal field is left in an event."""
    return (
        event.ip is None
        and not event.user_agent
        and not (_detail(event).keys() & PERSONAL_KEYS[form])
    )


def leaf(event: Unsealed | Link, form: int, personal: bytes) -> bytes:
    """Return the digest of an event.  Its personal fields enter by their own digest."""
    keys = PERSONAL_KEYS[form]
    facts = {
        "form": form,
        "event_id": event.event_id,
        "occurred_at": _microseconds(event.occurred_at),
        "tenant_id": event.tenant_id,
        "actor_kind": event.actor_kind,
        "actor_id": event.actor_id,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "event_type": event.event_type,
        "request_id": event.request_id,
        "detail": {k: v for k, v in _detail(event).items() if k not in keys},
        "personal": jose.encode(personal),
    }
    return hashlib.sha256(b"tesserra-audit-event\0" + _encode(facts)).digest()


def mac(key: bytes, token: str) -> bytes:
    """Return our MAC over a checkpoint.  It proves it ours even if the signing key was stolen."""
    return hmac_sha256(key, token.encode())


def read_claims(token: str, public_jwk: str) -> Claims:
    """Return the claims of a checkpoint.  ValueError unless the key of that JWK signed it."""
    payload = jose.verify_with(token, public_jwk, TYPE)
    try:
        claims = msgspec.json.decode(payload, type=Claims)
        good = len(claims.digest) == hashlib.sha256().digest_size and claims.position >= 0
        UUID(claims.tenant_id or str(PLATFORM))
    except msgspec.DecodeError as exc:
        raise ValueError(type(exc).__name__) from None
    if not good:
        raise ValueError("no digest")
    return claims


def _detail(event: Unsealed | Link) -> dict[str, object]:
    return msgspec.json.decode(event.detail or "{}", type=dict[str, object])


def _microseconds(at: datetime) -> int:
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
