"""Pages show what was measured: their tables are what the commands make of the kept results."""

from pathlib import Path

import pytest

from bench import marked, report
from faults import full, kept
from faults.report import Told, Violation
from faults.sabotage import seen

SHOWN = {
    report.COMMAND: (report.PAGE, report.figures),
    full.COMMAND: (kept.PAGE, full.table),
    seen.COMMAND: (kept.PAGE, seen.table),
}


@pytest.mark.parametrize("command", SHOWN)
def test_a_page_shows_what_was_kept(command: str) -> None:
    page, shown = SHOWN[command]
    text = page.read_text()
    assert marked.placed(text, command, shown()) == text, f"run {command}"


def test_what_stands_around_the_marks_stays_and_marks_must_be_there() -> None:
    text = "before\n<!-- c -->\nold\n<!-- end of c -->\nafter"
    assert marked.placed(text, "c", "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="end of d"):
        marked.placed(text, "d", "new")


@pytest.mark.parametrize(
    ("asked", "whole", "told"),
    [
        (199, True, "not yet"),
        (200, False, "not yet"),  # contradicted, and ended by that
        (200, True, "| 1,234 | 1 | 0.50 s | 2 |"),
    ],
)
def test_a_campaign_is_told_when_it_went_its_full_length(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: int, *, whole: bool, told: str
) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    violation = Violation("I1", "two tokens")
    one = Told(
        name="forgeries",
        asked=asked,
        whole=whole,
        rounds=150,
        requests=1234,
        statuses={200: 1000, 503: 9, 500: 1},
        worst_recovery_seconds=0.5,
        violations=[violation],
    )
    full.keep(7, [one], Told(name="secrets", violations=[violation]))
    (line,) = [line for line in full.table().splitlines() if line.startswith("| forgeries")]
    assert told in line
