"""Lines: one JSON object, keys in one order, and only keys of the list."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest
import structlog

from service.kernel import log as module
from service.kernel.log import FIELDS, Answered, answered, configure, log
from service.kernel.secret import Secret

CANARY = "canary-f00f"
Said = Callable[[Callable[[], object]], list[dict[str, object]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Return the lines something writes, and leave logging as it was."""
    root = logging.getLogger()
    handlers, level, threshold = root.handlers[:], root.level, module._output.threshold

    def lines(act: Callable[[], object]) -> list[dict[str, object]]:
        configure("info")
        act()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    yield lines
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    module._output.threshold = threshold


def test_a_line_is_one_object_with_its_keys_in_the_one_order(said: Said) -> None:
    given = {"reason": "x\ny", "http.route": "/a", "request_id": "r", "count": 1}
    (line,) = said(lambda: log().info("request", **given))
    assert list(line) == [key for key in FIELDS if key in line]
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"level": "info", "event": "request", **given}


@pytest.mark.parametrize(
    "key", ["password", "token", "authorization", "cookie", "body", "detail", "exc_info"]
)
def test_what_is_not_on_the_list_is_dropped(said: Said, key: str) -> None:
    assert key not in FIELDS
    (line,) = said(lambda: log().info("request", **{key: CANARY}))
    assert CANARY not in json.dumps(line)


def test_a_line_is_bounded_whatever_it_carries(said: Said) -> None:
    (line,) = said(lambda: log().error("fault", error="x" * 100_000, where=["y" * 100_000]))
    assert len(json.dumps(line)) <= 4096 + 500


def test_what_a_library_says_keeps_its_name_and_loses_its_text(said: Said) -> None:
    def fail() -> None:
        try:
            raise ValueError(CANARY)
        except ValueError:
            logging.getLogger("asyncio").exception("failed with %s", CANARY)

    (line,) = said(fail)
    assert line["where"] == "asyncio"
    assert line["error"] == "ValueError"
    assert CANARY not in json.dumps(line)


def test_below_the_threshold_nothing_is_written(said: Said) -> None:
    assert said(lambda: log().debug("request")) == []


def test_a_secret_in_a_field_that_is_shown_by_repr_shows_nothing() -> None:
    assert CANARY not in module._arrange(None, "", {"where": [Secret(CANARY)]})
    assert CANARY not in f"{[Secret(CANARY)]} {Secret(CANARY)!r}"


def test_the_line_of_a_request_has_its_keys_from_the_list_and_in_its_order(said: Said) -> None:
    keys = [field.encode_name for field in msgspec.structs.fields(Answered)]
    assert keys == [key for key in FIELDS if key in keys]
    (line,) = said(lambda: an_answer("x" * 100_000))
    assert list(line) == [key for key in keys if key in line]
    assert (line["event"], line["level"], line["duration_ms"]) == ("request", "info", 1.25)
    assert "tenant_id" not in line
    assert len(str(line["reason"])) == 2000


def test_a_request_is_not_told_of_below_the_threshold(said: Said) -> None:
    def answer_quietly() -> None:
        configure("warning")
        an_answer("x")

    assert said(answer_quietly) == []


def test_lines_of_one_turn_come_out_whole_in_order_and_none_is_lost() -> None:
    told = written(
        """
        for number in range(100):
            answered(str(number), None, None, "GET", "/", 200, 0, address=None, reason="x" * 90)
            if number == 50:
                log().info("in between", count=number)
        """
    )
    ids = [line.get("request_id") for line in told]
    assert ids == [*map(str, range(51)), None, *map(str, range(51, 100))]


def test_what_waits_is_written_in_pieces_a_pipe_takes_whole() -> None:
    program = PROGRAM.format(
        act="""
    for number in range(100):
        answered(str(number), None, None, "GET", "/", 200, 0, address=None, reason="x" * 90)
        if number % 11 == 10:
            log().info("in between", error="y" * 1900, where="z" * 1900)
"""
    )
    # A socket that keeps what is written apart shows each piece as it was written.
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", program]
    with reading, subprocess.Popen(command, stdout=writing.fileno()) as running:
        writing.close()
        pieces = list(iter(lambda: reading.recv(65536), b""))
        assert running.wait() == 0
    assert b"".join(pieces).count(b"in between") == 9
    assert max(len(piece) for piece in pieces) <= 4096
    assert all(piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_without_a_reader_nothing_fails(unbuffered: str) -> None:
    program = PROGRAM.format(act="    os.close(1)\n    log().info('x')\n    " + ANSWER)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


ANSWER = "answered('a', None, None, 'GET', '/', 200, 0, address=None, reason=None)"
PROGRAM = """
import asyncio, os
from service.kernel.log import answered, configure, log
async def main():
{act}
configure()
asyncio.run(main())
"""


def written(act: str) -> list[dict[str, object]]:
    """Return the lines that a process writes into a pipe, act being all in one turn of its loop."""
    reading, writing = os.pipe()
    lines = act.strip("\n").splitlines()
    program = PROGRAM.format(act="\n".join(line[4:] for line in lines))
    with subprocess.Popen([sys.executable, "-c", program], stdout=writing) as running:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            found = [json.loads(line) for line in pipe]
        assert running.wait() == 0
    return found


def an_answer(reason: str) -> None:
    answered("r" * 8, None, "a", "GET", "/a", 200, 0.00125, address="192.0.2.1", reason=reason)
