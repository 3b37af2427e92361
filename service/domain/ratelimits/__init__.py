"""Rate limits: budgets per caller.  Redis keys `limit:<bucket>:<subject>`, no table.

Redis gone: each worker keeps its share of every budget in memory - never unlimited, never
an outage.
"""

from service.domain.ratelimits.budgets import Budget, RateLimits, subject_of

__all__ = ["Budget", "RateLimits", "subject_of"]
