"""List all signed checkpoints, to keep them elsewhere."""

from uuid import UUID

from service.domain import seals
from service.domain.seals import Checkpoint
from service.runtime import Runtime

_PAGE = 1000


async def every_checkpoint(rt: Runtime, chain_id: UUID | None) -> list[Checkpoint]:
    """Return the checkpoints of a chain, or of all, the newest of each chain first."""
    found: list[Checkpoint] = []
    async with rt.pg.reading() as tx:
        chains = await seals.list_signed(tx) if chain_id is None else {chain_id}
        for chain in sorted(chains):
            before = None
            while page := await seals.list_checkpoints(tx, chain, before, _PAGE):
                found += page
                before = page[-1].checkpoint_id
    return found
