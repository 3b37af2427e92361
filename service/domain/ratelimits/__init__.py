"""Rate limits: budgets per caller.  Redis keys `limit:<bucket>:<subject>`, no table.

While Redis is lost, each worker keeps its share of every budget in memory.  So requests are never
unlimited, and never refused for this reason.
"""

from service.domain.ratelimits.budgets import Budget, RateLimits, subject_of

__all__ = ["Budget", "RateLimits", "subject_of"]
