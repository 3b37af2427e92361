"""Verify the audit trail against its seals and checkpoints."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from msgspec import Struct

from service.domain import audit, seals
from service.domain.keyring import Usage
from service.domain.seals import Chain, Checked, Checker, Checkpoint, Claims, Progress, Stray
from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Tx
from service.runtime import Runtime

_STRETCH = 2000
_LOOK = 20_000
_PAGE = 500
"""Checkpoints per query.  Each has a signature to verify, and the snapshot must not idle long."""
_TRIES, _PAUSE = 50, 0.2
"""How often to try to lock the months, and the seconds between two tries."""

Watch = Callable[[int, int], None]
"""A function that is called with the number of checked seals, and of all seals."""


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

    It reads one snapshot, so the service may go on meanwhile.  As during a backup, PostgreSQL keeps
    old rows that long.  No month of the trail is made or dropped meanwhile.
    `saved` are lines as `GET /admin/audit-events/checkpoints` gives them, or bare tokens.
    Refused(INVALID_REQUEST) for a line that is not a checkpoint signed by a known key.
    """
    async with rt.pg.reading() as tx:
        claims = [await _read_saved(tx, number, line) for number, line in enumerate(saved, 1)]
    async with _at_rest(rt) as tx:
        return await _check(tx, chain_id, claims, rt.keyring.derived(Usage.CHECKPOINT), watch)


async def _check(
    tx: Tx, chain_id: UUID | None, claims: Sequence[Claims], mac_key: bytes, watch: Watch
) -> list[Checked]:
    """Check the chains in one snapshot, so that everything compared is of the same moment."""
    progress = await seals.find_progress(tx)
    waiting = {one.chain_id: one for one in await seals.list_waiting(tx, progress)}
    chains = await _chains(tx, chain_id, claims)
    total, done, results = sum(chain.position for chain in chains), 0, []
    for chain in chains:
        checker = Checker(chain.chain_id, mac_key)
        async for checkpoint in _checkpoints(tx, chain.chain_id):
            checker.add_checkpoint(checkpoint)
        for one in claims:
            if one.chain_id == chain.chain_id:
                checker.add_claims(one)
        async for position in _walk(tx, checker, chain):
            watch(done + position, total)
        if (late := waiting.get(chain.chain_id)) is not None:
            checker.add_waiting(late)
        checker.finish(chain.position)
        async for stray in _strays(tx, chain.chain_id, checker.anchor.position, progress):
            checker.add_stray(stray)
        done += chain.position
        results.append(checker.result)
    return results


@asynccontextmanager
async def _at_rest(rt: Runtime) -> AsyncIterator[Tx]:
    """Lend a snapshot of the trail, with its months locked against being made or dropped.

    Refused(UNAVAILABLE) when the months cannot be locked within 10 s.
    """
    for _ in range(_TRIES):
        async with rt.pg.snapshot() as tx:
            if await audit.keep_months(tx):
                yield tx
                return
        await asyncio.sleep(_PAUSE)
    raise unavailable("months of the audit trail are being made or dropped")


async def _walk(tx: Tx, checker: Checker, chain: Chain) -> AsyncIterator[int]:
    after = checker.anchor.position
    while True:
        links = await seals.list_links(tx, chain.chain_id, after, chain.position, _STRETCH)
        for link in links:
            checker.check(link)
        after = links[-1].position if links else chain.position
        yield after
        if len(links) < _STRETCH:
            return


async def _strays(
    tx: Tx, chain_id: UUID, beginning: int, progress: Progress
) -> AsyncIterator[Stray]:
    after: Stray | None = None
    while found := await seals.list_strays(tx, chain_id, beginning, progress, after, _LOOK):
        for one in found:
            yield one
        after = found[-1]


async def _checkpoints(tx: Tx, chain_id: UUID) -> AsyncIterator[Checkpoint]:
    before = None
    while True:
        page = await seals.list_checkpoints(tx, chain_id, before, _PAGE)
        for one in page:
            yield one
        if len(page) < _PAGE:
            return
        before = page[-1].checkpoint_id


async def _chains(tx: Tx, chain_id: UUID | None, claims: Sequence[Claims]) -> list[Chain]:
    """Return the chains to check, also those of which only the name is left."""
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
