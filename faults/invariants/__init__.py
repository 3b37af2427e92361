"""What must hold whatever happens (security checklist, section 5).

I1  at most one live refresh token per family      I6   no 5xx but 503 with Retry-After
I2  none after reuse, sign-out, password, disable   I7   nothing acknowledged is lost
I3  exactly one event per acknowledged act          I8   nothing of another organization
I4  at most five evaluated guesses per account      I9   no planted secret anywhere
I5  nothing accepted later than a second after      I10  memory bounded by the hashing permits

`standing` looks at the database, `canaries` at everything that is written, `memory` at processes;
I5, I6, I8 and what errors show (I9) are looked at where answers come in (client.py, the campaigns).
"""

from faults.invariants.canaries import cached, plant, search_canaries
from faults.invariants.memory import MemoryWatch
from faults.invariants.standing import STATEMENTS, check_standing

__all__ = [
    "STATEMENTS",
    "MemoryWatch",
    "cached",
    "check_standing",
    "plant",
    "search_canaries",
]
