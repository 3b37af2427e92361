"""`./dev bench`: what the service costs, and how fast a revocation is known everywhere.

Everything is started here and nothing is faked: our own PostgreSQL (durable) and Valkey, the
service by `python -m service serve`, load and observers in processes of their own.  All of them
share one machine and so one clock, CLOCK_MONOTONIC, which is what `time.monotonic` reads.
"""

import sys
from pathlib import Path

# The verifier library stands beside us and is not installed.
sys.path.append(str(Path(__file__).resolve().parents[1] / "verifier"))
