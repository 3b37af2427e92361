"""What the framework alone would do: bare handlers under the same server.

`python -m bench.reference PORT WORKERS` serves `/bytes` (the bytes of BENCH_BYTES, as the JWKS) and
`/struct` (a struct like that of /auth/me).  No middleware, no dependency, no header of ours.
"""

import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from litestar import Litestar, Response, get
from litestar.config.app import AppConfig

from service.http.access.answers import OrganizationAnswer, UserAnswer
from service.http.account.own import MeAnswer

_BYTES = os.environ.get("BENCH_BYTES", "{}").encode()
_ID = "019a0000-0000-7000-8000-000000000000"


@get("/bytes", media_type="application/json")
async def ready_bytes() -> Response[bytes]:
    """Answer bytes."""
    return Response(_BYTES)


@get("/struct")
async def struct() -> MeAnswer:
    """Answer a struct."""
    return MeAnswer(
        user=UserAnswer(_ID, "person@bench.example", "Person"),
        organization=OrganizationAnswer(_ID, "bench", "Bench", "member"),
        roles=("member",),
        scopes=("agentes", "proxy-ollama"),
        session_id=_ID,
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def _settled(_: Litestar) -> AsyncIterator[None]:
    """Settle the garbage collector as the service does: it is no part of the comparison."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    yield


def create_app() -> Litestar:
    """Build it, for a worker."""
    return Litestar([ready_bytes, struct], lifespan=[_settled], on_app_init=[_quiet])


def _quiet(config: AppConfig) -> AppConfig:
    config.logging_config = None
    config.openapi_config = None
    return config


def main(port: str, workers: str) -> None:
    """Serve until told to stop."""
    Granian(
        "bench.reference:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        port=int(port),
        workers=int(workers),
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
