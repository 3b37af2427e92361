"""Statements on auth_root and auth_signing_keys.  Private keys are sealed before they get there."""

import os
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from service.domain.keyring.model import Described, Stored
from service.kernel import jose
from service.kernel.seal import Seal, SealBrokenError, Seals
from service.kernel.sql import Queries, Tx

PURPOSE_ROOT, PURPOSE_KEY = "root", "signing-key"


class _Sealed(Struct, frozen=True):
    sealed: bytes


class _SealedKey(Struct, frozen=True):
    row_id: str
    sealed: bytes


class Fresh(Struct, frozen=True):
    """A signing key that is not stored yet."""

    key: jose.Key
    pem: bytes

    @classmethod
    def generate(cls, algorithm: jose.Algorithm) -> "Fresh":
        """Make a signing key.  It is slow for RSA: call it before the ring is locked."""
        pem = jose.generate(algorithm)
        return cls(jose.Key(algorithm, pem), pem)

    @property
    def algorithm(self) -> jose.Algorithm:
        """What it signs by."""
        return self.key.algorithm


queries = Queries("keyring")
_insert_root = queries.command("insert_root")
_find_root = queries.rows("find_root", _Sealed)
_lock_root = queries.rows("lock_root", _Sealed)
_reseal_root = queries.command("reseal_root")
_insert_key = queries.command("insert_key")
_retire_others = queries.command("retire_others")
_keep_on = queries.command("keep_on")
_kill = queries.command("kill")
_list_published = queries.rows("list_published", Stored)
_list_all = queries.rows("list_all", Described)
_list_sealed = queries.rows("list_sealed", _SealedKey)
_reseal = queries.command("reseal")
_count_seals = queries.rows("count_seals", Seals)
_prune = queries.command("prune")


async def make_root(tx: Tx, seal: Seal, at: datetime) -> None:
    """Make the root secret, if there is none: once in the life of a deployment."""
    if await _find_root.maybe(tx) is None:
        sealed = seal.seal(PURPOSE_ROOT, "root", os.urandom(32))
        await _insert_root.run(tx, sealed=sealed, created_at=at)


async def open_root(tx: Tx, seal: Seal) -> bytes:
    """Return the root secret.  SealBrokenError when it is missing or cannot be decrypted."""
    found = await _find_root.maybe(tx)
    if found is None:
        raise SealBrokenError("root: it is gone, though there are signing keys")
    return seal.open(PURPOSE_ROOT, "root", found.sealed)


async def lock(tx: Tx) -> bytes:
    """Lock the key ring, so that it changes once at a time; return the root's ciphertext."""
    return (await _lock_root.one(tx)).sealed


async def insert_key(
    tx: Tx,
    seal: Seal,
    fresh: Fresh,
    at: datetime,
    activates_at: datetime,
    *,
    retires_at: datetime | None = None,
    removes_at: datetime | None = None,
) -> Described:
    """Store a key, sealed."""
    key = fresh.key
    await _insert_key.run(
        tx,
        kid=key.kid,
        algorithm=key.algorithm,
        public_jwk=msgspec.json.encode(key.jwk).decode(),
        sealed=seal.seal(PURPOSE_KEY, key.kid, fresh.pem),
        created_at=at,
        activates_at=activates_at,
        retires_at=retires_at,
        removes_at=removes_at,
    )
    return Described(
        kid=key.kid,
        algorithm=key.algorithm,
        created_at=at,
        activates_at=activates_at,
        retires_at=retires_at,
        removes_at=removes_at,
        killed_at=None,
    )


async def retire_others(
    tx: Tx,
    kid: str,
    algorithms: list[jose.Algorithm],
    retires_at: datetime,
    removes_at: datetime,
) -> None:
    """Set every other key of these algorithms to stop signing when `kid` begins."""
    await _retire_others.run(
        tx, kid=kid, algorithms=algorithms, retires_at=retires_at, removes_at=removes_at
    )


async def keep_on(tx: Tx, algorithms: list[jose.Algorithm], retires_at: datetime) -> None:
    """Let keys that would retire at that moment go on until they get another successor."""
    await _keep_on.run(tx, algorithms=algorithms, retires_at=retires_at)


async def kill(tx: Tx, kid: str, at: datetime) -> None:
    """Remove a key from use; the caller revokes its `kid` in the same transaction."""
    await _kill.run(tx, kid=kid, killed_at=at)


async def list_published(tx: Tx, at: datetime) -> list[Stored]:
    """Return every key that is not removed."""
    return await _list_published.all(tx, at=at)


async def list_all(tx: Tx) -> list[Described]:
    """Return every key, including removed ones that are not pruned yet."""
    return await _list_all.all(tx)


async def find(tx: Tx, kid: str) -> Described | None:
    """Return a key, a removed one included."""
    return next((key for key in await list_all(tx) if key.kid == kid), None)


async def count_seals(tx: Tx) -> list[Seals]:
    """Return how many ciphertexts each master key has sealed here."""
    return await _count_seals.all(tx)


async def reseal_root(tx: Tx, before: bytes, sealed: bytes) -> None:
    """Replace the root's ciphertext by another one of the same value."""
    await _reseal_root.run(tx, before=before, sealed=sealed)


async def list_sealed_keys(tx: Tx, after: str, most: int) -> Sequence[tuple[str, bytes]]:
    """Lock a page of signing keys in the order of `kid`; return (kid, ciphertext)."""
    return [(row.row_id, row.sealed) for row in await _list_sealed.all(tx, after=after, most=most)]


async def reseal_key(tx: Tx, kid: str, before: bytes, sealed: bytes) -> None:
    """Replace a key's ciphertext by another one of the same value."""
    await _reseal.run(tx, kid=kid, before=before, sealed=sealed)


async def prune(tx: Tx, before: datetime) -> int:
    """Drop the private half of keys that were removed before `before`; return how many."""
    return await _prune.run(tx, before=before)
