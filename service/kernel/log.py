"""Log lines: one JSON object each, with the keys of the list below, in that order.

The list says what is allowed: any other key is dropped, not printed.

Lines of requests are by far the most frequent, so they take a faster path: a struct with fixed
fields, and one write for all lines of 10 ms.  All other lines go through structlog and are written
at once, after the lines that wait.  A worker that is killed loses the lines that wait.
"""

import asyncio
import atexit
import contextlib
import logging
import sys
from collections.abc import MutableMapping
from datetime import datetime
from typing import Any, TextIO, cast

import msgspec
import structlog
from msgspec import Struct

from service.kernel.clock import host_time

FIELDS = (
    "timestamp",
    "level",
    "event",
    "request_id",
    "trace_id",
    "span_id",
    "tenant_id",
    "actor_id",
    "client_id",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "duration_ms",
    "client.address",
    "reason",
    "error",
    "where",
    "task",
    "count",
    "kid",
    "version",
    "bind",
    "worker",
    "seconds",
)
"""Every key that a line may have, in their order."""

_LONGEST = 2000
_ATOMIC = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF): several workers write to the same pipe."""
_SOON_SECONDS = 0.01
_encode = msgspec.json.Encoder().encode


def _arrange(_logger: object, _name: str, line: MutableMapping[str, Any]) -> str:
    kept = {key: _bounded(line[key]) for key in FIELDS if line.get(key) is not None}
    return _encode(kept).decode()


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return value[:_LONGEST]
    return value if isinstance(value, (int, float, bool)) else str(value)[:_LONGEST]


class Answered(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "method": "http.request.method",
        "route": "http.route",
        "status": "http.response.status_code",
        "address": "client.address",
    },
):
    """The line of an answered request.  A test compares its keys with FIELDS."""

    timestamp: datetime
    level: str
    event: str
    request_id: str
    tenant_id: str | None = None
    actor_id: str | None = None
    method: str
    route: str
    status: int
    duration_ms: float
    address: str | None = None
    reason: str | None = None


class _Output:
    """Standard output."""

    def __init__(self) -> None:
        self.threshold = logging.INFO
        self._waiting: list[bytes] = []
        self._size = 0

    def gather(self, line: bytes) -> None:
        """Write a line within 10 ms, together with others; at once when no event loop runs."""
        self._add(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(_SOON_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def write(self, text: str) -> None:
        """Write at once, after what waits (for structlog)."""
        self._add(text.encode())

    def _add(self, line: bytes) -> None:
        if self._size + len(line) > _ATOMIC:
            self.flush()
        self._waiting.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Write the lines that wait.  When standard output is closed, they are lost."""
        taken, self._waiting, self._size = self._waiting, [], 0
        if not taken:
            return
        with contextlib.suppress(OSError, ValueError):  # a pipe without a reader; closed
            # Not through the stream's own buffer: what cannot be written would stay in it, and the
            # interpreter would try again when it ends.
            stream = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
            left = b"".join(taken)
            while left:
                left = left[stream.write(left) or 0 :]


_output = _Output()
flush = _output.flush
atexit.register(flush)  # workers end without running this, and flush by themselves


def answered(
    request_id: str,
    tenant_id: str | None,
    actor_id: str | None,
    method: str,
    route: str,
    status: int,
    seconds: float,
    *,
    address: str | None,
    reason: str | None,
) -> None:
    """Write the line of a request.  Only `reason` can be long, and it is cut."""
    if _output.threshold > logging.INFO:
        return
    line = Answered(
        timestamp=host_time(),
        level="info",
        event="request",
        request_id=request_id,
        tenant_id=tenant_id,
        actor_id=actor_id,
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 2),
        address=address,
        reason=reason[:_LONGEST] if reason else None,
    )
    _output.gather(_encode(line) + b"\n")


def configure(level: str = "info") -> None:
    """Write lines to standard output; route the libraries' own warnings the same way."""
    threshold = _output.threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _arrange,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _output)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Bridge(logging.Handler):
    """Passes on a library's log record: its logger and error type, never its text or arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log().log(record.levelno, "library", where=record.name, error=error)


class ServerBridge(logging.Handler):
    """Passes on the HTTP server's own lines: they name workers and say nothing about requests."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        log().log(record.levelno, "server", error=record.getMessage())


SERVER: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"ours": {"()": "service.kernel.log.ServerBridge"}},
    "loggers": {"_granian": {"handlers": ["ours"], "propagate": False}},
}
"""Logging of the HTTP server, as `logging.config.dictConfig` takes it."""


def log() -> Any:
    """Return the logger."""
    return structlog.get_logger()


def place(exc: BaseException) -> str:
    """Return the code lines an exception came from.  Its text may hold secrets and is left out."""
    frame = exc.__traceback__
    spots = []
    while frame is not None:
        code = frame.tb_frame.f_code
        spots.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return " < ".join(reversed(spots[-4:]))
