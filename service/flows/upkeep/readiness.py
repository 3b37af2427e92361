"""Check whether this worker is ready to serve (`/readyz`)."""

from msgspec import Struct

from service.kernel import waiting
from service.kernel.clock import MAX_SKEW
from service.kernel.refusal import Refused
from service.runtime import Runtime

_STALEST = 5.0


class Readiness(Struct, frozen=True):
    """The result of each check.  Redis is only reported: without it the service goes on."""

    checks: dict[str, bool]

    @property
    def ready(self) -> bool:
        """Whether all checks that are required for serving pass."""
        return all(ok for name, ok in self.checks.items() if name != "redis")


async def check_readiness(rt: Runtime) -> Readiness:
    """Check the servers, the clock, the keys, the revocations and the other workers."""
    return Readiness(
        {
            "postgresql": await _postgresql(rt),
            "redis": await rt.redis.ping(),
            "signing_key": _signs(rt),
            "revocations": rt.revocations.staleness() < _STALEST,
            "workers": not waiting.is_any(),
            "clock": abs(rt.clock.skew()) < MAX_SKEW,
        }
    )


async def _postgresql(rt: Runtime) -> bool:
    try:
        async with rt.pg.reading() as tx:
            await tx.execute("SELECT 1")
    except Refused:
        return False
    return True


def _signs(rt: Runtime) -> bool:
    try:
        rt.keyring.signing(rt.clock.now())
    except Refused:
        return False
    return True
