"""Encrypt everything again under the newest master key, or check that no older key is needed.

It works in batches, each in a transaction.  When it is killed, nothing is lost, and the next run
goes on with the rest.  Meanwhile both keys are configured, so old and new rows can be decrypted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from uuid import UUID

from msgspec import Struct

from service.domain import audit, keyring, vault
from service.domain.audit import events
from service.kernel.call import Call
from service.kernel.seal import Seal, SealBrokenError, sealed_by
from service.runtime import Runtime

_BATCH = 50


class Outcome(Struct, frozen=True):
    """The result.  `broken` says which ciphertexts cannot be decrypted, and why.

    `older` counts ciphertexts under another key than the newest; `resealed` those that a rotation
    has encrypted again.
    """

    key_id: str
    total: int
    older: int
    resealed: int
    broken: tuple[str, ...]


class _Row(Struct, frozen=True):
    """One ciphertext, with its purpose and name.  `replace` stores another one in its place."""

    purpose: str
    name: str
    sealed: bytes
    replace: Callable[[bytes], Awaitable[None]]


async def count_sealed(rt: Runtime) -> int:
    """Return the number of ciphertexts, for a progress bar."""
    async with rt.pg.reading() as tx:
        ring = sum(one.count for one in await keyring.count_seals(tx))
        return ring + sum(one.count for one in await vault.count_seals(tx))


async def rotate_master(rt: Runtime, call: Call, told: Callable[[int], None]) -> Outcome:
    """Encrypt ciphertexts of older keys again.  Broken ones are left as they are, and reported.

    `told` is called with the number of rows that were checked since its last call.
    """
    newest = rt.seal.key_ids[0]
    total = older = resealed = 0
    broken: list[str] = []
    async for rows in _batches(rt):
        for row in rows:
            total += 1
            if sealed_by(row.sealed) == newest:
                continue
            older += 1
            try:
                value = rt.seal.open(row.purpose, row.name, row.sealed)
            except SealBrokenError as exc:
                broken.append(str(exc))
                continue
            await row.replace(rt.seal.seal(row.purpose, row.name, value))
            resealed += 1
        told(len(rows))
    async with rt.pg.decision() as tx:
        await audit.record(tx, call, events.MasterRotated(key_id=newest, resealed=resealed))
    return Outcome(newest, total, older, resealed, tuple(broken))


async def check_master(rt: Runtime, told: Callable[[int], None]) -> Outcome:
    """Try to decrypt everything with only the newest master key.  Changes nothing."""
    alone: Seal = rt.seal.newest_alone()
    newest = alone.key_ids[0]
    total = older = 0
    broken: list[str] = []
    async for rows in _batches(rt):
        for row in rows:
            total += 1
            older += sealed_by(row.sealed) != newest
            try:
                alone.open(row.purpose, row.name, row.sealed)
            except SealBrokenError as exc:
                broken.append(str(exc))
        told(len(rows))
    return Outcome(newest, total, older, 0, tuple(broken))


async def _batches(rt: Runtime) -> AsyncIterator[list[_Row]]:
    """Yield all ciphertexts in batches, each locked by a transaction of its own."""
    async with rt.pg.decision() as tx:
        root = await keyring.lock(tx)
        yield [_Row(keyring.PURPOSE_ROOT, "root", root, partial(keyring.reseal_root, tx, root))]
    kid = ""
    while True:
        async with rt.pg.decision() as tx:
            keys = await keyring.list_sealed_keys(tx, kid, _BATCH)
            yield [
                _Row(keyring.PURPOSE_KEY, kid, sealed, partial(keyring.reseal_key, tx, kid, sealed))
                for kid, sealed in keys
            ]
        if len(keys) < _BATCH:
            break
        kid = keys[-1][0]
    after = (UUID(int=0), 0)
    while True:
        async with rt.pg.decision() as tx:
            versions = await vault.list_sealed(tx, after, _BATCH)
            yield [
                _Row(
                    vault.PURPOSE,
                    vault.place(one.tenant_id, one.name, one.version),
                    one.sealed,
                    partial(vault.reseal, tx, one.secret_id, one.version, one.sealed),
                )
                for one in versions
            ]
        if len(versions) < _BATCH:
            break
        after = (versions[-1].secret_id, versions[-1].version)
