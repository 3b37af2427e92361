"""Requests that may come again, and what they made.  Table auth_idempotency; Redis is no part."""

from service.domain.idempotency.store import Made, Slot, find, hold, keep, prune, slot_of

__all__ = ["Made", "Slot", "find", "hold", "keep", "prune", "slot_of"]
