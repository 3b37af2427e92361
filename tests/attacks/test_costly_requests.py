"""Small requests that would cost much: a worker has one thread for everybody.

Processor time is what is counted, so that a busy machine is no fault.
"""

import time

import pytest

from service.domain.users import refuse_weak
from service.http.shell import Shell
from service.kernel.refusal import Refused
from tests.http import asking

LONGEST_PATH = 65_000
"""Bytes; the HTTP server takes no longer one."""

LIGATURE = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}"
"""Eighteen characters after NFKC."""


@pytest.mark.parametrize("piece", ["a", "/a", "a/", "/.a", "%2", "%25", "."])
async def test_a_long_path_is_looked_at_once(app: Shell, piece: str) -> None:
    path = ("/" + piece * LONGEST_PATH)[:LONGEST_PATH] + "x"
    began = time.process_time()
    answer = await asking.raw(app, "GET", path)
    assert time.process_time() - began < 0.2
    assert answer.status == 404


@pytest.mark.parametrize(
    "password",
    [
        LIGATURE * 1024,
        "a" * 1024,
        "password" * 128,
        "".join("a\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}" for _ in range(1024)),
        "a" + "\N{COMBINING DOT BELOW}\N{COMBINING ACUTE ACCENT}" * 2047,
    ],
    ids=["ligatures", "one letter", "one word", "accents", "accents on one letter"],
)
def test_a_long_password_is_judged_at_once(password: str) -> None:
    refuse_weak("to read the list", email="ada@acme.example", organization="Acme")
    began = time.process_time()
    try:
        refuse_weak(password, email="ada@acme.example", organization="Acme")
    except Refused as refused:
        assert refused.fields == ("password",)  # noqa: PT017 - weak or not, it is soon known
    assert time.process_time() - began < 0.2
