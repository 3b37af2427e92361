"""`python -m faults`, called by `./dev faults`."""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from faults import full
from faults.beside import run_beside
from faults.campaigns import CAMPAIGNS
from faults.runner import Run, run, table, write_result
from faults.sabotage import sabotage, seen
from service.embedded.servers import EmbeddedError


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 only when nothing was violated."""
    names = [campaign.name for campaign in CAMPAIGNS]
    parser = argparse.ArgumentParser(
        prog="./dev faults", description="Break the service on purpose, and see what holds."
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="run",
        choices=["run", "sabotage", "report"],
        help="run: attack the service (the default);"
        " sabotage: break copies of it and see the attack find it each time;"
        " report: what came of each the last time, into faults/RESULTS.md",
    )
    parser.add_argument("--quick", action="store_true", help="under three minutes")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=str(names))
    parser.add_argument("--seed", type=int, help="repeat a run")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts")
    parser.add_argument(
        "--rounds", action="append", default=[], metavar="NAME=N", help="so many of one campaign"
    )
    parser.add_argument(
        "--beside",
        type=int,
        metavar="N",
        help="deployments side by side (default: one more than cores; with --quick, one)",
    )
    parser.add_argument("--result", type=Path, help="where the JSON goes")
    asked = parser.parse_args(arguments)
    chosen = [c for c in CAMPAIGNS if c.name in asked.only]
    if asked.what == "run" and len(chosen) < len(set(asked.only)):
        parser.error(f"--only takes {', '.join(names)}")
    if asked.what == "report":
        return full.report() or seen.report()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**9)
    try:
        if asked.what == "sabotage":
            return 1 if asyncio.run(_stoppable(sabotage(seed, asked.only))) else 0
        wanted = Run(
            seed=seed,
            campaigns=chosen or CAMPAIGNS,
            quick=asked.quick,
            scale=asked.scale,
            counts={name: int(n) for name, _, n in (r.partition("=") for r in asked.rounds)},
            **({"result": asked.result} if asked.result else {}),
        )
        beside = asked.beside or (1 if asked.quick else (os.cpu_count() or 1) + 1)
        return asyncio.run(_stoppable(_attack(wanted, beside)))
    except EmbeddedError as exc:
        print(f"faults: {exc}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _stoppable(work: Coroutine[Any, Any, int]) -> int:
    """Stop in good order however it is asked: servers end, and what is mounted is unmounted."""
    task = asyncio.ensure_future(work)
    for told in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(told, task.cancel)
    return await task


async def _attack(wanted: Run, beside: int) -> int:
    began = time.monotonic()
    if beside > 1:
        reports = await run_beside(wanted, beside)
    else:
        reports = [done.told() for done in await run(wanted)]
        full.keep(wanted.seed, reports[:-1], reports[-1])
    seconds = time.monotonic() - began
    write_result(wanted, beside, reports, seconds)
    print(f"\n{table(reports)}\n\nseed {wanted.seed}, {seconds:.0f} s, {wanted.result}")
    violations = [(told.name, one) for told in reports for one in told.violations]
    for name, one in violations[:50]:
        print(f"VIOLATION {one.invariant} ({name}): {one.what}")
    if violations:
        print(f"again: ./dev faults --seed {wanted.seed}" + (" --quick" if wanted.quick else ""))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
