"""Small requests that would cost much: a worker has one thread for everybody.

Processor time is what is counted, so that a busy machine is no fault.
"""

import time

import pytest

from service.http.shell import Shell
from tests.http import asking

LONGEST_PATH = 65_000
"""Bytes; the HTTP server takes no longer one."""


@pytest.mark.parametrize("piece", ["a", "/a", "a/", "/.a", "%2", "%25", "."])
async def test_a_long_path_is_looked_at_once(app: Shell, piece: str) -> None:
    path = ("/" + piece * LONGEST_PATH)[:LONGEST_PATH] + "x"
    began = time.process_time()
    answer = await asking.raw(app, "GET", path)
    assert time.process_time() - began < 0.2
    assert answer.status == 404
