"""Figures are what their names say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import median, percentile, summary

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


def test_percentiles_are_values_by_nearest_rank() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile(hundred, 0.07) == 7
    assert percentile(hundred, 1) == 100
    assert percentile([3.0], 0.01) == 3
    assert percentile([2.0, 1.0], 0.5) == 1
    assert percentile([2.0, 1.0], 0.51) == 2


@given(VALUES, st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(
    values: list[float], hundredths: int
) -> None:
    found = percentile(values, hundredths / 100)
    assert sum(value <= found for value in values) * 100 >= hundredths * len(values)
    assert sum(value < found for value in values) * 100 < hundredths * len(values)


@given(VALUES)
def test_a_summary_is_in_order_and_ends_with_the_largest(values: list[float]) -> None:
    told = summary(values)
    assert told.p50 <= told.p99 <= told.worst == max(values)
    assert told.count == len(values)


def test_the_median_of_an_even_number_is_between_the_middle_two() -> None:
    assert median([4, 1, 3, 2]) == 2.5
    assert median([3, 1, 2]) == 2


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_beyond_the_values_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_no_values_make_no_figure() -> None:
    for figure in (summary, median):
        with pytest.raises(ValueError, match="no values"):
            figure([])
