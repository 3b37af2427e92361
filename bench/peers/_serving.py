"""What the Python peers share: seed, say what was made in one line of JSON, serve under Granian.

Runs in the peers' own virtual environment.
"""

import json
import os
import sys
from collections.abc import Callable

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels


def serve(target: str, interface: str, seed: Callable[[int], dict[str, object]]) -> None:
    """Serve until told to stop; PEER_PORT, PEER_WORKERS, PEER_COUNT."""
    print(json.dumps(seed(int(os.environ["PEER_COUNT"]))))
    sys.stdout.flush()
    Granian(
        target,
        interface=Interfaces(interface),
        port=int(os.environ["PEER_PORT"]),
        workers=int(os.environ["PEER_WORKERS"]),
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
    ).serve()
