"""UUIDv7 (RFC 9562 section 5.7): ids sort by time and are never made twice."""

import subprocess
import sys
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


@given(moments, st.timedeltas(timedelta(microseconds=1), timedelta(days=365)))
def test_ids_sort_by_time(at: datetime, later: timedelta) -> None:
    assert ids.new(at) < ids.new(at + later)


def test_ids_of_one_moment_are_all_different_and_in_the_order_they_were_made() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    made = [ids.new(at) for _ in range(100_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    assert {one.version for one in made} == {7}


def test_what_is_random_in_an_id_is_not_the_same_twice() -> None:
    one, other = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)
    tails = {ids.new(at).int & (2**61 - 1) for _ in range(50) for at in (one, other)}
    assert len(tails) == 100


def test_processes_that_were_one_draw_nothing_alike() -> None:
    program = """
import os
from service.kernel import ids
ids.of_request()
reading, writing = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        os.write(writing, (" ".join(ids.of_request() for _ in range(20)) + "\\n").encode())
        os._exit(0)
    os.wait()
os.close(writing)
print(os.read(reading, 65536).decode(), *(ids.of_request() for _ in range(20)))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    made = told.stdout.split()
    assert len(made) == len(set(made)) == 80
    assert {len(one) for one in made} == {32}
