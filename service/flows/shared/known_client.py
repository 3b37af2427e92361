"""Find a client by its id, from the cache where that is as good as the database."""

from service.domain.clients import Client, Known
from service.domain.revocations import Kind, Memory
from service.kernel.call import Call
from service.runtime import Runtime


async def find_client(
    rt: Runtime, call: Call, client_id: str, *, doubtful: bool = False
) -> Client | None:
    """Return a client that may act; None when there is none.

    The worker's memory of revocations is fresh then, and includes every revocation that was
    committed before the client was read.  So a token that is issued next respects every cutoff.
    """
    memory = await rt.revocations.current()
    known = rt.clients.find(client_id, call.at, doubtful=doubtful)
    if known is not None and not _is_outdated(memory, known):
        return known.client
    as_of = memory.epoch, memory.seq
    found = await rt.clients.read(client_id, call.at, as_of, doubtful=doubtful)
    if found is not None:
        await rt.revocations.catch_up()
    return found


def _is_outdated(memory: Memory, known: Known) -> bool:
    """Whether the client or its organization was revoked after the client was read.

    Compares places in the order of commits, not times, since an act that revokes may take long.
    """
    client = known.client
    entries = (
        memory.find_mark(Kind.CLIENT_ID, client.client_id),
        memory.find_mark(Kind.TENANT_ID, str(client.tenant_id)),
    )
    newest = max((entry.seq for entry in entries if entry), default=0)
    epoch, seq = known.as_of
    return epoch != memory.epoch or not newest <= seq <= memory.seq
