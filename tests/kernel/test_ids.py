"""UUIDv7 (RFC 9562 section 5.7): ids sort by time and are never made twice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.kernel import ids

moments = st.timedeltas(timedelta(), timedelta(days=70_000)).map(
    lambda since: datetime(2000, 1, 1, tzinfo=UTC) + since
)


@given(moments)
def test_an_id_carries_its_millisecond_version_and_variant(at: datetime) -> None:
    made = ids.new(at)
    since = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert made.int >> 80 == since
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


@given(moments, st.timedeltas(timedelta(milliseconds=1), timedelta(days=365)))
def test_ids_sort_by_time(at: datetime, later: timedelta) -> None:
    assert ids.new(at) < ids.new(at + later)


def test_ids_of_one_moment_are_all_different() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert len({ids.new(at) for _ in range(10_000)}) == 10_000
