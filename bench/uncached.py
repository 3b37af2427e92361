"""The service, but that no API key is remembered: each check of one costs a query of its own.

`python -m bench.uncached` serves one worker with the environment of the service.
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from litestar import Litestar

from service import settings as deployment
from service.app import litestar_app
from service.domain.apikeys import KnownKeys, StoredKey, store
from service.flows.upkeep.tend import tend
from service.http.edge import Edge
from service.kernel import log
from service.kernel.clock import Clock
from service.kernel.postgres import Postgres
from service.runtime import open_runtime


class Queried(KnownKeys):
    """Keys that are read each time, by a statement each."""

    def __init__(self, pg: Postgres) -> None:
        super().__init__(pg)
        self._postgres = pg

    def put(self, mac: bytes, key: StoredKey, as_of: datetime) -> None:
        """Remember nothing."""

    async def read(self, public_id: str) -> StoredKey | None:
        """Read a key, for one who asks."""
        async with self._postgres.reading() as tx:
            found = await store.list_presented(tx, [public_id])
        return found[0] if found else None


def create_app() -> Edge:
    """Build it, for a worker."""
    settings = deployment.load()
    log.configure(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_runtime(settings) as opened:
            rt = app.state.rt = replace(opened, apikeys=Queried(opened.pg))
            upkeep = asyncio.create_task(tend(rt))
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            yield
            upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await upkeep

    return Edge(litestar_app(settings, [lifespan]), settings, Clock())


if __name__ == "__main__":
    host, _, port = os.environ["AUTH_BIND"].rpartition(":")
    Granian(
        "bench.uncached:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        address=host,
        port=int(port),
        workers=1,
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
    ).serve()
