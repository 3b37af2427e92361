"""Count requests against the rate limits of the policy."""

from service.domain.ratelimits import Budget, subject_of
from service.flows.shared.permissions import Administrator
from service.kernel import metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.policy import Limit
from service.runtime import Runtime


async def spend_address(rt: Runtime, call: Call, bucket: str, limit: Limit) -> None:
    """Count a request of the caller's address.  Refused(TOO_MANY) with the exact wait."""
    await spend(rt, bucket, limit, subject_of(call.ip))


def refuse_barred(rt: Runtime, call: Call, bucket: str, limit: Limit) -> None:
    """Refuse an address whose limit is reached, as far as this worker knows, without a query."""
    wait = rt.ratelimits.known_empty(Budget(bucket, limit.count, limit.window), subject_of(call.ip))
    if wait:
        raise _too_many(bucket, wait)


async def spend_own(rt: Runtime, call: Call, bucket: str, administrator: Administrator) -> None:
    """Count a creation by an administrator, a person or a machine.

    The state of that limit is noted for the headers of the answer.

    Refused(TOO_MANY) with the exact wait.
    """
    limit, subject = rt.policy.limits.create, administrator.actor_id
    try:
        await spend(rt, bucket, limit, subject)
    finally:
        budget = Budget(bucket, limit.count, limit.window)
        call.budgets.append(await rt.ratelimits.standing(budget, subject))


async def spend(rt: Runtime, bucket: str, limit: Limit, subject: str) -> None:
    """Count a request of a subject.  Refused(TOO_MANY) with the exact wait."""
    wait = await rt.ratelimits.spend(Budget(bucket, limit.count, limit.window), subject)
    if wait:
        raise _too_many(bucket, wait)


def _too_many(bucket: str, wait: int) -> Refused:
    metrics.limited.labels(bucket).inc()
    return Refused(
        Reason.TOO_MANY, "too many requests", private=f"limit {bucket}", retry_after=wait
    )
