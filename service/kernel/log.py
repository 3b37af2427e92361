"""Log lines: one JSON object each, keys in a fixed order, only keys of the list below.

An allow-list, not a block-list: what nobody thought of is dropped, not printed.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

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
"""Every key a line may carry, in the order it carries them."""

_LONGEST = 2000
_encode = msgspec.json.Encoder().encode


def _arrange(_logger: object, _name: str, line: MutableMapping[str, Any]) -> str:
    kept = {key: _bounded(line[key]) for key in FIELDS if line.get(key) is not None}
    return _encode(kept).decode()


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return value[:_LONGEST]
    return value if isinstance(value, (int, float, bool)) else str(value)[:_LONGEST]


def configure(level: str = "info") -> None:
    """Write lines to standard output; route the libraries' own warnings the same way."""
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _arrange,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Bridge(logging.Handler):
    """Carries a library's log record over, without its arguments' secrets: name and type only."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log().log(record.levelno, "library", where=record.name, error=error)


class ServerBridge(logging.Handler):
    """Carries the HTTP server's own lines over: they name workers, and nothing of a request."""

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
    """Name the line an exception came from; its text may hold secrets and is left out."""
    frame = exc.__traceback__
    spots = []
    while frame is not None:
        code = frame.tb_frame.f_code
        spots.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return " < ".join(reversed(spots[-4:]))
