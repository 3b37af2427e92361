"""kill -9 of a worker, of the whole service and of PostgreSQL, at named points of an act.

The point is found on the wire (proxy/), so the service has no hooks for it.  Acts that were held
there must have happened wholly or not at all - at `done` wholly, before it not at all - nothing of
them may have been acknowledged that is not there, and a retry must converge.
"""

from faults.crashes.background import crash_master_rotation, crash_sealing
from faults.crashes.rounds import crash_ends, crash_sessions
from faults.crashes.unpublished import crash_publishing

__all__ = [
    "crash_ends",
    "crash_master_rotation",
    "crash_publishing",
    "crash_sealing",
    "crash_sessions",
]
