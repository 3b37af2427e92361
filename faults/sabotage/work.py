"""Break, attack, and see whether it was seen."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from faults.campaigns import CAMPAIGNS
from faults.runner import Run, run
from faults.sabotage.breakages import BREAKAGES, Breakage, NotThereError


class Seen(Struct, frozen=True):
    """Whether a breakage was found, by which violation."""

    name: str
    campaign: str
    seconds: float
    found: str


async def sabotage(seed: int, only: Sequence[str] = ()) -> int:
    """Break it in every way, or in those whose names have a word; return how many nobody saw."""
    chosen = [b for b in BREAKAGES if not only or any(word in b.name for word in only)]
    seen = []
    for number, breakage in enumerate(chosen):
        print(f"-- {number + 1} of {len(chosen)}: {breakage.name}", flush=True)
        one = await _one(breakage, seed)
        seen.append(one)
        print(f"   {'seen' if one.found else 'NOT SEEN'}: {one.found[:160]}", flush=True)
    print("\n| broken on purpose | campaign | seen as |\n|---|---|---|")
    for one in seen:
        print(f"| {one.name} | {one.campaign} | {one.found[:90] or '**not seen**'} |")
    missed = sum(not one.found for one in seen)
    print(f"\n{len(seen) - missed} of {len(seen)} seen, seed {seed}")
    return missed


async def _one(breakage: Breakage, seed: int) -> Seen:
    began = time.monotonic()
    campaign = next(c for c in CAMPAIGNS if c.name == breakage.campaign)
    with tempfile.TemporaryDirectory(prefix="tesserra-sabotage-") as name:
        folder = Path(name)
        try:
            breakage.apply(folder)
        except NotThereError as exc:
            print(f"   {exc}")
            return Seen(breakage.name, breakage.campaign, 0, "")
        wanted = Run(
            seed=seed,
            campaigns=[replace(campaign, quick=breakage.rounds)],
            quick=True,
            source=folder,
            stop_at_first=True,
            silent=True,
            result=folder / "result.json",
        )
        try:
            reports = await run(wanted)
        except AssertionError as exc:  # it does not even start: broken, but not seen by us
            print(f"   {exc}")
            return Seen(breakage.name, breakage.campaign, time.monotonic() - began, "")
    found = [
        f"{one.invariant}: {one.what}"
        for report in reports
        for one in report.violations
        if one.invariant != "harness"
    ]
    took = time.monotonic() - began
    return Seen(breakage.name, breakage.campaign, took, found[0] if found else "")
