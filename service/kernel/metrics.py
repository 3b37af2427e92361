"""The metrics of the service.  No organization, person or client is ever a label.

All workers write to files in one folder (`PROMETHEUS_MULTIPROC_DIR`, made anew by `serve`).  A
separate listener on AUTH_METRICS_BIND adds them up: metrics are not reachable through the service's
own port.

A change of a metric in a shared file takes 4 µs, and every request changes three.  So metrics of
requests are added up in memory and written ten times a second.  A worker that is killed loses the
last of them.
"""

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    multiprocess,
    start_http_server,
)

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)

requests = Histogram(
    "http_server_request_duration_seconds",
    "Seconds from the first byte of a request to the first of its answer",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=_FAST,
)
logins = Counter("tesserra_auth_logins", "Sign-ins by outcome", ["result", "reason"])
tokens = Counter("tesserra_auth_tokens_issued", "Access tokens issued", ["grant_type"])
reuse = Counter("tesserra_auth_refresh_reuse", "Families burned by a replayed refresh token")
limited = Counter("tesserra_auth_rate_limited", "Requests over a budget", ["bucket"])
hashing = Histogram(
    "tesserra_auth_password_hash_seconds", "Seconds a password hash took", buckets=_FAST
)
staleness = Gauge(
    "tesserra_auth_revocation_staleness_seconds",
    "Seconds since a worker last knew every revocation; the stalest worker counts",
    multiprocess_mode="livemax",
)
propagation = Histogram(
    "tesserra_auth_revocation_propagation_seconds",
    "Seconds from a revocation to the worker knowing it",
    buckets=_FAST,
)
revocations = Gauge(
    "tesserra_auth_revocations", "Revocations in force", multiprocess_mode="livemax"
)
clock_skew = Gauge(
    "tesserra_auth_clock_skew_seconds",
    "Host clock against the database's; the worst worker counts",
    multiprocess_mode="livemax",
)
sealed = Counter("tesserra_auth_events_sealed", "Events of the audit trail that were sealed")
pool = Gauge(
    "tesserra_auth_postgresql_connections",
    "Connections to PostgreSQL",
    ["state"],
    multiprocess_mode="livesum",
)

_HAND_OVER_SECONDS = 0.1


class _Figure(Protocol):
    def inc(self, amount: float = 1) -> None: ...


class _Gathered:
    """Sums that wait to be written to the shared files."""

    def __init__(self) -> None:
        self._sums: dict[_Figure, float] = {}

    def add(self, figure: _Figure, amount: float = 1) -> None:
        """Add to a metric, within 0.1 s; at once when no event loop runs."""
        if not self._sums:
            try:
                asyncio.get_running_loop().call_later(_HAND_OVER_SECONDS, self.hand_over)
            except RuntimeError:
                figure.inc(amount)
                return
        self._sums[figure] = self._sums.get(figure, 0) + amount

    def hand_over(self) -> None:
        """Write the sums that wait."""
        sums, self._sums = self._sums, {}
        for figure, amount in sums.items():
            figure.inc(amount)


_gathered = _Gathered()
hand_over = _gathered.hand_over
_answered: dict[tuple[str, str, int], Histogram] = {}


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request.  Method, route and status have few values, since each is a label."""
    key = (method, route, status)
    kind = _answered.get(key)
    if kind is None:
        kind = _answered[key] = requests.labels(*key)
    # The same as `observe` does; the library cannot take many observations at once.
    _gathered.add(kind._sum, seconds)  # noqa: SLF001
    _gathered.add(kind._buckets[bisect_left(_FAST, seconds)])  # noqa: SLF001


def issued(grant_type: str) -> None:
    """Count an access token."""
    _gathered.add(tokens.labels(grant_type))


class _AllWorkers:
    """Adds up the files of all workers, without the gauges of dead workers."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._collector = multiprocess.MultiProcessCollector(CollectorRegistry(), folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        for left in self._folder.glob("gauge_live*_*.db"):
            pid = left.stem.rpartition("_")[2]
            if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
                left.unlink(missing_ok=True)
        found: Iterable[Metric] = self._collector.collect()  # type: ignore[no-untyped-call]
        return found


def listen(host: str, port: int, folder: str) -> tuple[WSGIServer, threading.Thread]:
    """Serve the metrics of all workers together.  OSError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(_AllWorkers(folder))
    return start_http_server(port, host, registry)
