"""Lines: one JSON object, keys in one order, and only keys of the list."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from service.kernel import log as module
from service.kernel.log import FIELDS, configure, log
from service.kernel.secret import Secret

CANARY = "canary-f00f"
Said = Callable[[Callable[[], object]], list[dict[str, object]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Return the lines something writes, and leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def lines(act: Callable[[], object]) -> list[dict[str, object]]:
        configure("info")
        act()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    yield lines
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


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
