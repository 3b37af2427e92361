"""Figures from measurements."""

import math
from collections.abc import Sequence

from msgspec import Struct


class Summary(Struct, frozen=True):
    """How many measurements, their median, their 99th percentile and the largest."""

    count: int
    p50: float
    p99: float
    worst: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed (nearest rank).

    ValueError when there are no values or `share` is not above 0 and up to 1.
    """
    if not values:
        raise ValueError("no values")
    if not 0 < share <= 1:
        raise ValueError("a share is above 0 and up to 1")
    rank = math.ceil(round(share * len(values), 9))  # 0.07 * 100 is a little more than 7
    return sorted(values)[rank - 1]


def summary(values: Sequence[float]) -> Summary:
    """Summarise; ValueError when there is nothing to."""
    return Summary(len(values), percentile(values, 0.5), percentile(values, 0.99), max(values))


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    if not values:
        raise ValueError("no values")
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
