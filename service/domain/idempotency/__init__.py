"""Requests with an `Idempotency-Key`, and what they created.

Table auth_idempotency.  Redis is not used.
"""

from service.domain.idempotency.store import Made, Slot, find, hold, keep, prune, slot_of

__all__ = ["Made", "Slot", "find", "hold", "keep", "prune", "slot_of"]
