"""Does the audit trail still say what was sealed?"""

from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from service.domain import seals
from service.domain.keyring import Usage
from service.domain.seals import Chain, Checked, Checker, Checkpoint, Claims, Progress, Stray
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

_STRETCH = 2000
_LOOK = 20_000

Watch = Callable[[int, int], None]
"""Told of how many seals are checked, of how many."""


class _Saved(Struct):
    token: str
    public_jwk: dict[str, str] | None = None


async def verify_trail(
    rt: Runtime,
    chain_id: UUID | None = None,
    *,
    saved: Sequence[bytes] = (),
    watch: Watch = lambda _done, _of: None,
) -> list[Checked]:
    """Check one chain or all of them, also against checkpoints kept elsewhere.

    `saved` are lines as `GET /admin/audit-events/checkpoints` gives them, or bare tokens.
    Refused(INVALID_REQUEST) for a line that is no checkpoint signed by a key that is known.
    """
    async with rt.pg.reading() as tx:
        claims = [await _read_saved(tx, number, line) for number, line in enumerate(saved, 1)]
        progress = await seals.find_progress(tx)
        waiting = {one.chain_id: one for one in await seals.list_waiting(tx, progress)}
        chains = await _chains(tx, chain_id, claims)
    total, done, results = sum(chain.position for chain in chains), 0, []
    for chain in chains:
        checker = Checker(chain.chain_id, rt.keyring.derived(Usage.CHECKPOINT))
        async for checkpoint in _checkpoints(rt, chain.chain_id):
            checker.add_checkpoint(checkpoint)
        for one in claims:
            if one.chain_id == chain.chain_id:
                checker.add_claims(one)
        async for position in _walk(rt, checker, chain):
            watch(done + position, total)
        checker.finish(chain.position)
        async for stray in _strays(rt, chain.chain_id, checker.anchor.position, progress):
            checker.add_stray(stray)
        if (late := waiting.get(chain.chain_id)) is not None:
            checker.result.waiting, checker.result.waiting_since = late.events, late.since
        done += chain.position
        results.append(checker.result)
    return results


async def _walk(rt: Runtime, checker: Checker, chain: Chain) -> AsyncIterator[int]:
    after = checker.anchor.position
    while True:
        async with rt.pg.reading() as tx:
            links = await seals.list_links(tx, chain.chain_id, after, chain.position, _STRETCH)
        for link in links:
            checker.check(link)
        after = links[-1].position if links else chain.position
        yield after
        if len(links) < _STRETCH:
            return


async def _strays(
    rt: Runtime, chain_id: UUID, beginning: int, progress: Progress
) -> AsyncIterator[Stray]:
    after: Stray | None = None
    while True:
        async with rt.pg.reading() as tx:
            found = await seals.list_strays(tx, chain_id, beginning, progress, after, _LOOK)
        if not found:
            return
        for one in found:
            yield one
        after = found[-1]


async def _checkpoints(rt: Runtime, chain_id: UUID) -> AsyncIterator[Checkpoint]:
    before = None
    while True:
        async with rt.pg.reading() as tx:
            page = await seals.list_checkpoints(tx, chain_id, before, _STRETCH)
        for one in page:
            yield one
        if len(page) < _STRETCH:
            return
        before = page[-1].checkpoint_id


async def _chains(tx: Tx, chain_id: UUID | None, claims: Sequence[Claims]) -> list[Chain]:
    """Return the chains to check: also those of which nothing but a name is left."""
    if chain_id is not None:
        names = {chain_id}
    else:
        names = await seals.list_signed(tx) | await seals.list_recorded(tx)
        names |= {one.chain_id for one in claims}
    ends = {chain.chain_id: chain for chain in await seals.list_chains(tx, None)}
    names |= ends.keys() if chain_id is None else set()
    return [ends.get(name) or Chain(name, 0, b"") for name in sorted(names)]


async def _read_saved(tx: Tx, number: int, line: bytes) -> Claims:
    text = line.strip().decode("ascii", "replace")
    try:
        given = msgspec.json.decode(text, type=_Saved) if text[:1] == "{" else _Saved(text)
        if given.public_jwk is None:
            jwk = await seals.find_public_jwk(tx, given.token)
        else:
            jwk = msgspec.json.encode(given.public_jwk).decode()
        return seals.read_claims(given.token, jwk)
    except (ValueError, msgspec.DecodeError):
        raise Refused(
            Reason.INVALID_REQUEST, f"line {number} is no checkpoint that a known key signed"
        ) from None
