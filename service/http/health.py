"""/healthz: the process is alive.  /readyz: it is ready to serve, or which check fails."""

from litestar import Response, Router, get
from litestar.di import Provide
from litestar.types import Scope
from msgspec import Struct

from service.flows.upkeep.readiness import check_readiness
from service.http.context import FromCaller, provide_open
from service.kernel.refusal import Reason, Refused, unavailable


class Health(Struct, frozen=True):
    """`ok`."""

    status: str = "ok"


@get("/healthz")
async def healthz() -> Health:
    """Answer 200 while the process is alive."""
    return Health()


@get("/readyz")
async def readyz(context: FromCaller, scope: Scope) -> Response[Health]:
    """Answer 200 when all required checks pass; 503 otherwise, and while stopping."""
    if scope["litestar_app"].state.leaving.begun:
        raise unavailable("not ready: told to stop")
    readiness = await check_readiness(context.rt)
    if not readiness.ready:
        failing = ", ".join(name for name, ok in readiness.checks.items() if not ok)
        raise Refused(Reason.UNAVAILABLE, f"not ready: {failing}", retry_after=1)
    return Response(Health())


router = Router(
    "/", route_handlers=[healthz, readyz], dependencies={"context": Provide(provide_open)}
)
