"""Spending a budget of the policy."""

from service.domain.ratelimits import Budget, subject_of
from service.kernel import metrics
from service.kernel.call import Call, Person
from service.kernel.refusal import Reason, Refused
from service.policy import Limit
from service.runtime import Runtime


async def spend_address(rt: Runtime, call: Call, bucket: str, limit: Limit) -> None:
    """Spend from the budget of the caller's address.  Refused(TOO_MANY) with the true wait."""
    await spend(rt, bucket, limit, subject_of(call.ip))


def refuse_barred(rt: Runtime, call: Call, bucket: str, limit: Limit) -> None:
    """Refuse, without asking anyone, an address whose budget is known here to be spent."""
    wait = rt.ratelimits.known_empty(Budget(bucket, limit.count, limit.window), subject_of(call.ip))
    if wait:
        raise _too_many(bucket, wait)


async def spend_own(rt: Runtime, call: Call, bucket: str, person: Person) -> None:
    """Spend from a person's budget for creating things of a kind, and tell them how it stands.

    Refused(TOO_MANY) with the true wait.
    """
    limit, subject = rt.policy.limits.create, str(person.user_id)
    try:
        await spend(rt, bucket, limit, subject)
    finally:
        budget = Budget(bucket, limit.count, limit.window)
        call.budgets.append(await rt.ratelimits.standing(budget, subject))


async def spend(rt: Runtime, bucket: str, limit: Limit, subject: str) -> None:
    """Spend from the budget of a subject.  Refused(TOO_MANY) with the true wait."""
    wait = await rt.ratelimits.spend(Budget(bucket, limit.count, limit.window), subject)
    if wait:
        raise _too_many(bucket, wait)


def _too_many(bucket: str, wait: int) -> Refused:
    metrics.limited.labels(bucket).inc()
    return Refused(
        Reason.TOO_MANY, "too many requests", private=f"limit {bucket}", retry_after=wait
    )
