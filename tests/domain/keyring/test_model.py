"""The life of a key is a matter of time alone."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.keyring import Stored

AT = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
KEY = Stored(
    kid="k",
    algorithm="ES256",
    sealed=b"",
    created_at=AT - HOUR,
    activates_at=AT,
    retires_at=AT + HOUR,
    removes_at=AT + 3 * HOUR,
    killed_at=None,
)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (AT - HOUR, "pending"),
        (AT - TICK, "pending"),
        (AT, "active"),
        (AT + HOUR - TICK, "active"),
        (AT + HOUR, "retired"),
        (AT + 3 * HOUR - TICK, "retired"),
        (AT + 3 * HOUR, "removed"),
        (AT + 300 * HOUR, "removed"),
    ],
)
def test_its_state_changes_at_the_very_moment(at: datetime, state: str) -> None:
    assert KEY.state(at) == state
