"""Sabotage follows the code: what is broken on purpose is still there to be broken."""

import pytest

from faults.campaigns import CAMPAIGNS
from faults.sabotage import BREAKAGES, Breakage


@pytest.mark.parametrize("breakage", BREAKAGES, ids=[b.name for b in BREAKAGES])
def test_it_applies_and_is_still_a_program(breakage: Breakage) -> None:
    text = breakage.text()
    if breakage.file.endswith(".py"):
        compile(text, breakage.file, "exec")
    assert breakage.campaign in {campaign.name for campaign in CAMPAIGNS}


def test_there_are_at_least_twelve_ways_of_different_names() -> None:
    assert len({breakage.name for breakage in BREAKAGES}) == len(BREAKAGES) >= 12
