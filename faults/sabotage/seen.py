"""What saw each breakage the last time it was tried: `./dev faults report`."""

from collections.abc import Sequence

from msgspec import Struct

from bench.machine import Machine
from bench.marked import write
from faults import kept
from faults.sabotage.breakages import BREAKAGES

COMMAND = "./dev faults report: sabotage"
_NAME = "sabotage"
_SHOWN = 90


class Seen(Struct, frozen=True):
    """Whether a breakage was found, by which violation, and on what."""

    name: str
    campaign: str
    found: str
    """Empty when nobody saw it."""
    seed: int
    state: str
    machine: Machine


def keep(one: Seen) -> None:
    """Keep what came of a breakage that is still tried, in the order of the attempts."""
    before = {seen.name: seen for seen in _read()} | {one.name: one}
    kept.keep(_NAME, [before[b.name] for b in BREAKAGES if b.name in before])


def report() -> int:
    """Write the table into the page; return the exit status."""
    return write(kept.PAGE, COMMAND, table())


def table() -> str:
    """Return the table as Markdown, a line for each breakage there is."""
    seen = {one.name: one for one in _read()}
    tried = [seen[b.name] for b in BREAKAGES if b.name in seen]
    when = dict.fromkeys(f"{one.machine.day}, {one.state}, seed {one.seed}" for one in tried)
    return "\n".join(
        [
            *("| broken on purpose | campaign | seen as |", "|---|---|---|"),
            *(_line(b.name, b.campaign, seen.get(b.name)) for b in BREAKAGES),
            "",
            f"{sum(bool(one.found) for one in tried)} of {len(BREAKAGES)} seen: {'; '.join(when)}.",
        ]
    )


def lines(seen: Sequence[Seen]) -> str:
    """Return the lines of those that were tried, as Markdown."""
    return "\n".join(_line(one.name, one.campaign, one) for one in seen)


def _line(name: str, campaign: str, one: Seen | None) -> str:
    said = "not yet tried" if one is None else one.found[:_SHOWN] or "**not seen**"
    return f"| {name} | {campaign} | {said.replace('|', '/')} |"


def _read() -> list[Seen]:
    return kept.read(_NAME, list[Seen]) or []
