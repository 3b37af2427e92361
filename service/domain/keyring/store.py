"""Statements on auth_root and auth_signing_keys.  Private keys are sealed before they get there."""

import os
from datetime import datetime

import msgspec
from msgspec import Struct

from service.domain.keyring.model import Stored
from service.kernel import jose
from service.kernel.seal import Seal
from service.kernel.sql import Queries, Tx

PURPOSE_ROOT, PURPOSE_KEY = "root", "signing-key"


class _Sealed(Struct, frozen=True):
    sealed: bytes


queries = Queries("keyring")
_insert_root = queries.command("insert_root")
_find_root = queries.rows("find_root", _Sealed)
_lock_root = queries.rows("lock_root", _Sealed)
_insert_key = queries.command("insert_key")
_retire_others = queries.command("retire_others")
_list_published = queries.rows("list_published", Stored)


async def make_root(tx: Tx, seal: Seal, at: datetime) -> None:
    """Make the root secret, once for the life of a deployment."""
    if await _find_root.maybe(tx) is None:
        sealed = seal.seal(PURPOSE_ROOT, "root", os.urandom(32))
        await _insert_root.run(tx, sealed=sealed, created_at=at)


async def open_root(tx: Tx, seal: Seal) -> bytes:
    """Return the root secret.  SealBrokenError: these are not this deployment's master keys."""
    return seal.open(PURPOSE_ROOT, "root", (await _find_root.one(tx)).sealed)


async def lock(tx: Tx) -> None:
    """Hold the key ring: one change at a time."""
    await _lock_root.one(tx)


async def insert_key(
    tx: Tx, seal: Seal, algorithm: jose.Algorithm, at: datetime, activates_at: datetime
) -> str:
    """Make a key and store it sealed; return its kid."""
    pem = jose.generate(algorithm)
    key = jose.Key(algorithm, pem)
    await _insert_key.run(
        tx,
        kid=key.kid,
        algorithm=algorithm,
        public_jwk=msgspec.json.encode(key.jwk).decode(),
        sealed=seal.seal(PURPOSE_KEY, key.kid, pem),
        created_at=at,
        activates_at=activates_at,
    )
    return key.kid


async def retire_others(tx: Tx, kid: str, retires_at: datetime, removes_at: datetime) -> None:
    """Let every other key stop signing when `kid` begins."""
    await _retire_others.run(tx, kid=kid, retires_at=retires_at, removes_at=removes_at)


async def list_published(tx: Tx, at: datetime) -> list[Stored]:
    """Return every key that is not removed."""
    return await _list_published.all(tx, at=at)
