"""What came of each campaign the last time it went its full length: `./dev faults report`.

All of them take hours of a machine, so each counts for itself and is kept when it is done; the
table says when, with which seed and on which state of the code each was.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from bench.machine import Machine, describe_machine
from bench.marked import write
from faults import kept
from faults.campaigns import CAMPAIGNS, Campaign
from faults.report import Told

COMMAND = "./dev faults report"
_HEADING = (
    *("campaign, full length", "day, state, seed", "rounds", "faults injected", "requests"),
    *("5xx but 503", "worst recovery", "violations"),
)


class Full(Struct, frozen=True):
    """A campaign of full length; `secrets` is what its deployment was searched for at the end."""

    machine: Machine
    state: str
    """The commit it attacked."""
    seed: int
    told: Told
    secrets: Told


def keep(seed: int, told: Sequence[Told], secrets: Told) -> None:
    """Keep what has gone its full length."""
    machine, state = describe_machine(), kept.state()
    full = {campaign.name: campaign.full for campaign in CAMPAIGNS}
    for one in told:
        if one.asked < full[one.name] or not one.whole:
            continue
        kept.keep(one.name, Full(machine, state, seed, one, secrets))


def report() -> int:
    """Write the table into the page; return the exit status."""
    return write(kept.PAGE, COMMAND, table())


def table() -> str:
    """Return the table as Markdown, a line for each campaign there is."""
    found = [(campaign, kept.read(campaign.name, Full)) for campaign in CAMPAIGNS]
    lines = [
        f"| {' | '.join(_HEADING)} |",
        f"|{'---|' * len(_HEADING)}",
        *(_line(campaign, full) for campaign, full in found),
    ]
    total: Counter[str] = Counter()
    for _, full in found:
        if full is not None:
            total.update(_counts(full))
    lines.append(
        f"| **all** | | {total['rounds']:,} | {total['faults']:,} | {total['requests']:,}"
        f" | {total['bad']} | | {total['violations']} |"
    )
    machines = kept.machines(full.machine for _, full in found if full is not None)
    return "\n".join([*lines, "", machines])


def _line(campaign: Campaign, full: Full | None) -> str:
    if full is None:
        return f"| {campaign.name} | not yet | | | | | | |"
    counts = _counts(full)
    recovery = full.told.worst_recovery_seconds
    return (
        f"| {campaign.name} | {full.machine.day}, {full.state}, {full.seed} | {counts['rounds']:,}"
        f" | {counts['faults']:,} | {counts['requests']:,} | {counts['bad']}"
        f" | {'' if recovery is None else f'{recovery:.2f} s'} | {counts['violations']} |"
    )


def _counts(full: Full) -> dict[str, int]:
    told = full.told
    return {
        "rounds": told.rounds,
        "faults": sum(told.faults.values()),
        "requests": told.requests,
        "bad": sum(n for status, n in told.statuses.items() if status >= 500 and status != 503),
        "violations": len(told.violations) + len(full.secrets.violations),
    }
