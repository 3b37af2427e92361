"""The wire between the service and one of its servers: a TCP proxy that can be told to misbehave.

It sits on a port of its own; `tap` sees PostgreSQL's messages and may hold one of them.
"""

from faults.proxy.link import Pair, Proxy
from faults.proxy.postgres import Moment, Point, Tap

__all__ = ["Moment", "Pair", "Point", "Proxy", "Tap"]
