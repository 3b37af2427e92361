"""Servers that die, hang, stutter and come back, under load.

Visitors refresh, look, issue keys and sign out all the time, and keep what was acknowledged.  A
token that was given out must go on working through everything; 401 is never the answer to a fault;
after the fault the first success comes within two seconds, and nobody restarts anything.
"""

from faults.outages.campaign import endure_outages
from faults.outages.clock import step_clock
from faults.outages.hangs import hang

__all__ = ["endure_outages", "hang", "step_clock"]
