"""Load the revocations in a process of its own and tell what that took.

`python -m tests.verifier.loading BASE_URL ISSUER CLIENT_ID CLIENT_SECRET`, one line of JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from tesserra_verifier import Verifier


def resident(which: str = "VmRSS") -> float:
    """Return the megabytes this process occupies, or the most it has (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return int(told[which].split()[0]) * 1024 / 1e6


async def main(base_url: str, issuer: str, client_id: str, client_secret: str) -> None:
    before = resident()
    start, busy = time.monotonic(), time.process_time()
    async with Verifier(
        issuer, issuer, client_id, client_secret, base_url=base_url, patience=60
    ) as verifier:
        seconds = time.monotonic() - start
        told = {
            "entries": verifier.entries,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(time.process_time() - busy, 3),
            "megabytes": round(resident() - before, 1),
            "peak_megabytes": round(resident("VmHWM") - before, 1),
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
