"""Several deployments side by side, one for each campaign: for machines with cores to spare.

Much of a campaign is waiting, for a server that starts again, say; another one works meanwhile.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from faults.campaigns import Campaign
from faults.report import Told, Violation
from faults.runner import Result, Run, teller
from service.embedded.checkout import ROOT


async def run_beside(asked: Run, lanes: int) -> list[Told]:
    """Run each campaign in a process of its own, so many at a time, the longest first."""
    tell = teller(asked)
    tell(f"seed {asked.seed}; {len(asked.campaigns)} campaigns, {lanes} side by side")
    free = asyncio.Semaphore(lanes)
    found: dict[str, list[Told]] = {}

    async def one(campaign: Campaign) -> None:
        async with free:
            found[campaign.name] = await _run_alone(asked, campaign, tell)

    longest_first = sorted(asked.campaigns, key=lambda campaign: -campaign.minutes)
    await asyncio.gather(*map(one, longest_first))
    told = [found[campaign.name][0] for campaign in asked.campaigns]
    return [*told, _together([rest for each in found.values() for rest in each[1:]])]


async def _run_alone(asked: Run, campaign: Campaign, tell: Callable[[str], None]) -> list[Told]:
    result = asked.result.with_suffix(f".{campaign.name}.json")
    result.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "faults", "--beside", "1", "--only", campaign.name),
        *("--seed", str(asked.seed), "--rounds", f"{campaign.name}={asked.rounds(campaign)}"),
        *("--result", str(result)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    last = ""
    try:
        async for line in process.stdout:
            last = line.decode(errors="replace").rstrip() or last
            _clock, _, news = last.partition("] ")
            if news.startswith(campaign.name):
                tell(news)
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()  # a campaign that is stopped stops its servers itself
        await process.wait()
    if not result.exists():
        return [Told(name=campaign.name, violations=[Violation("harness", f"no result: {last}")])]
    return msgspec.json.decode(result.read_bytes(), type=Result).campaigns


def _together(parts: Sequence[Told]) -> Told:
    """Add up what each deployment was searched for at the end."""
    figures: Counter[str] = Counter()
    for part in parts:
        figures.update(part.figures)
    return Told(
        name="secrets",
        seconds=sum(part.seconds for part in parts),
        rounds=sum(part.rounds for part in parts),
        figures=dict(figures),
        violations=[violation for part in parts for violation in part.violations],
    )
