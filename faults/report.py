"""What a campaign tells: counts, the worst recovery, and violations."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

_TELL_SECONDS = 4.0


class Violation(Struct, frozen=True):
    """Something that must never happen, and did."""

    invariant: str
    what: str


class Told(Struct, frozen=True, kw_only=True):
    """What came of a campaign, as it is written down."""

    name: str
    seconds: float = 0.0
    asked: int = 0
    """So many rounds were asked for; of some campaigns each is several."""
    whole: bool = True
    """Whether it went all of them, and no violation or fault of ours ended it early."""
    rounds: int = 0
    requests: int = 0
    statuses: dict[int, int] = {}
    faults: dict[str, int] = {}
    worst_recovery_seconds: float | None = None
    recoveries: int = 0
    figures: dict[str, float] = {}
    violations: list[Violation] = []


class EnoughError(Exception):
    """One violation was enough."""


@dataclass
class Report:
    """One campaign under way.  `tell` is called now and then with a line of progress."""

    name: str
    tell: Callable[[str], None] = lambda _line: None
    asked: int = 0
    whole: bool = True
    faults: Counter[str] = field(default_factory=Counter)
    """Injected, by kind."""
    rounds: int = 0
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """Of answers; 0 is a connection that ended without one."""
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the moment a server was back to the first success."""
    figures: dict[str, float] = field(default_factory=dict)
    """Whatever else was measured, by name and unit."""
    violations: list[Violation] = field(default_factory=list)
    enough: str = ""
    """The invariant of which one violation ends the campaign (EnoughError)."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    _told: float = 0.0

    def violate(self, invariant: str, what: str) -> None:
        """Note a violation."""
        found = Violation(invariant, what)
        if found not in self.violations:  # a query finds one and the same again and again
            self.violations.append(found)
            self.tell(f"VIOLATION of {invariant}: {what}")
            if invariant == self.enough:
                raise EnoughError

    def expect(self, invariant: str, so: object, what: str) -> bool:
        """Note a violation unless it is so; return whether it is."""
        if not so:
            self.violate(invariant, what)
        return bool(so)

    def worst(self, figure: str, value: float) -> None:
        """Keep the largest value of a figure."""
        self.figures[figure] = max(self.figures.get(figure, value), value)

    def progress(self, line: str) -> None:
        """Tell how far it is, but not too often."""
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self.tell(line)

    def told(self) -> Told:
        """Return what came of it."""
        return Told(
            name=self.name,
            seconds=round(self.seconds, 1),
            asked=self.asked,
            whole=self.whole,
            rounds=self.rounds,
            requests=self.requests,
            statuses=dict(self.statuses),
            faults=dict(self.faults),
            worst_recovery_seconds=max(self.recoveries, default=None),
            recoveries=len(self.recoveries),
            figures=self.figures,
            violations=self.violations,
        )
