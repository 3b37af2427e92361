"""The audit trail.  Table auth_eventos, in monthly partitions; nothing updates or deletes a row.

Two exceptions, both in functions that run as the schema's owner: retention drops whole months, and
erasure removes a person's addresses and user agents.
"""

from service.domain.audit import events
from service.domain.audit.events import TYPES, Event
from service.domain.audit.store import make_partitions, record, record_all
from service.domain.audit.trail import (
    Entry,
    Filter,
    Line,
    change_months,
    drop_months,
    erase,
    export_page,
    find_oldest,
    has_unsealed,
    keep_months,
    list_months,
    read_page,
)

__all__ = [
    "TYPES",
    "Entry",
    "Event",
    "Filter",
    "Line",
    "change_months",
    "drop_months",
    "erase",
    "events",
    "export_page",
    "find_oldest",
    "has_unsealed",
    "keep_months",
    "list_months",
    "make_partitions",
    "read_page",
    "record",
    "record_all",
]
