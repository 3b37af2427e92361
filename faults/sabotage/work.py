"""Break, attack, and see whether it was seen."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from bench.machine import describe_machine
from faults import kept
from faults.campaigns import CAMPAIGNS
from faults.runner import Run, run
from faults.sabotage.breakages import BREAKAGES, Breakage, NotThereError
from faults.sabotage.seen import Seen, keep, lines


async def sabotage(seed: int, only: Sequence[str] = ()) -> int:
    """Break it in every way, or in those whose names have a word; return how many nobody saw."""
    chosen = [b for b in BREAKAGES if not only or any(word in b.name for word in only)]
    machine, state = describe_machine(), kept.state()
    seen = []
    for number, breakage in enumerate(chosen):
        print(f"-- {number + 1} of {len(chosen)}: {breakage.name}", flush=True)
        found = await _attack(breakage, seed)
        one = Seen(breakage.name, breakage.campaign, found, seed, state, machine)
        keep(one)
        seen.append(one)
        print(f"   {'seen' if found else 'NOT SEEN'}: {found[:160]}", flush=True)
    missed = sum(not one.found for one in seen)
    print(f"\n{lines(seen)}\n\n{len(seen) - missed} of {len(seen)} seen, seed {seed}")
    return missed


async def _attack(breakage: Breakage, seed: int) -> str:
    """Return the first violation of what this is to violate, or nothing."""
    campaign = next(c for c in CAMPAIGNS if c.name == breakage.campaign)
    with tempfile.TemporaryDirectory(prefix="tesserra-sabotage-") as name:
        folder = Path(name)
        try:
            breakage.apply(folder)
        except NotThereError as exc:
            print(f"   {exc}")
            return ""
        wanted = Run(
            seed=seed,
            campaigns=[replace(campaign, quick=breakage.rounds)],
            quick=True,
            source=folder,
            enough=breakage.seen_as,
            silent=True,
            result=folder / "result.json",
        )
        try:
            reports = await run(wanted)
        except AssertionError as exc:  # it does not even start: broken, but not seen by us
            print(f"   {exc}")
            return ""
    found = (
        f"{one.invariant}: {one.what}"
        for report in reports
        for one in report.violations
        if one.invariant == breakage.seen_as
    )
    return next(found, "")
