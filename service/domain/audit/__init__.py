"""The audit trail.  Table auth_eventos, in monthly partitions; nothing updates or deletes a row."""

from service.domain.audit import events
from service.domain.audit.events import Event
from service.domain.audit.store import make_partitions, record

__all__ = ["Event", "events", "make_partitions", "record"]
