"""The service broken on purpose, one way at a time, in a copy: the campaigns must see it each time.

A suite that stays green under sabotage proves nothing.  `./dev faults sabotage`.
"""

from faults.sabotage.breakages import BREAKAGES, Breakage, NotThereError
from faults.sabotage.work import sabotage

__all__ = ["BREAKAGES", "Breakage", "NotThereError", "sabotage"]
