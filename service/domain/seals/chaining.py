"""Makes seals for events, and signed checkpoints for the ends of chains."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.seals import model
from service.domain.seals.model import Chain, Checkpoint, Claims, Kind, Seal, Unsealed
from service.kernel import ids, jose

_SALT_BYTES = 16


def chain_up(
    events: Sequence[Unsealed], ends: Mapping[UUID, Chain]
) -> tuple[list[Seal], list[Chain]]:
    """Seal events in the given order, each after its chain's end; return seals and new ends."""
    now = dict(ends)
    sealed = []
    for event in events:
        end = now.get(event.chain_id) or Chain(event.chain_id, 0, model.genesis(event.chain_id))
        salt = os.urandom(_SALT_BYTES)
        personal = model.personal_digest(event, model.FORM, salt)
        leaf = model.leaf(event, model.FORM, personal)
        seal = Seal(
            chain_id=event.chain_id,
            position=end.position + 1,
            event_id=event.event_id,
            occurred_at=event.occurred_at,
            salt=salt,
            personal=personal,
            leaf=leaf,
            previous=end.hash,
        )
        sealed.append(seal)
        now[event.chain_id] = Chain(event.chain_id, seal.position, seal.hash)
    touched = dict.fromkeys(event.chain_id for event in events)
    return sealed, [now[chain_id] for chain_id in touched]


def sign(
    issuer: str,
    key: jose.Key,
    mac_key: bytes,
    end: Chain,
    at: datetime,
    *,
    kind: Kind = "head",
    before: datetime | None = None,
) -> Checkpoint:
    """Make a checkpoint: a signed statement that a chain has this hash at this position."""
    claims = Claims(
        iss=issuer,
        iat=int(at.timestamp()),
        tenant_id=None if end.chain_id == model.PLATFORM else str(end.chain_id),
        position=end.position,
        hash=jose.encode(end.hash),
        kind=kind,
        before=None if before is None else int(before.timestamp()),
    )
    token = key.sign_as(model.TYPE, msgspec.json.encode(claims))
    return Checkpoint(
        checkpoint_id=ids.new(at),
        chain_id=end.chain_id,
        position=end.position,
        kind=kind,
        signed_at=at,
        kid=key.kid,
        public_jwk=msgspec.json.encode(key.jwk).decode(),
        token=token,
        mac=model.mac(mac_key, token),
    )
