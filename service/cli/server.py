"""`serve`, `migrate`, `prune`, `openapi`."""

import asyncio
import os
import shutil
import signal
import socket
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

import click
from granian import Granian
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server import MPServer

from service.cli import edge
from service.cli.certificate import BadCertificateError, Certificate
from service.cli.grammar import Command
from service.flows.upkeep import prune as upkeep
from service.flows.upkeep.retention import drop_old_months
from service.kernel import log, metrics, waiting
from service.kernel import migrate as migrations
from service.kernel.call import Call
from service.kernel.postgres import connected
from service.kernel.redis import RedisLostError
from service.kernel.sites import surely_cross_site
from service.runtime import Runtime, StartError, blaming, open_runtime
from service.settings import Settings

_OPENAPI = Path(__file__).resolve().parents[2] / "openapi" / "tesserra-auth.json"

_REDIS_TRIES = 4
_TAKES_OVER_SECONDS = 5.0
"""After SIGHUP a new worker has this long to serve before the old one stops."""
_DEATHS, _DEATHS_SECONDS = 10, 60.0
"""After this many deaths of one worker in this many seconds the service gives up: a process manager
should start it again."""

_STOPS = (signal.SIGTERM, signal.SIGINT)


@click.command(cls=Command)
def serve() -> None:
    """Serve HTTP until a signal.  Refuses to start when anything is wrong."""
    settings = edge.settings()
    edge.finish(_try(settings))
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]  # made in __main__, for metrics
    os.environ[waiting.FOLDER] = folder  # workers show there that they cannot start
    try:
        _listen_for_metrics(settings, folder)
        _serve(settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _listen_for_metrics(settings: Settings, folder: str) -> None:
    if settings.metrics_bind is None:
        return
    host, _, port = settings.metrics_bind.rpartition(":")
    try:
        metrics.listen(host.strip("[]"), int(port), folder)
    except OSError as exc:
        edge.fail(f"AUTH_METRICS_BIND: cannot listen there ({exc.strerror})")


def _serve(settings: Settings) -> None:
    # A worker is a fork of this process.  Until it handles signals itself, the inherited handler
    # would swallow a SIGTERM, and the worker would be waited for until it is killed.  A signal
    # before the worker's first instruction waits for `_heed_signals`.
    os.register_at_fork(
        before=_hold_signals, after_in_parent=_release_signals, after_in_child=_heed_signals
    )
    log.configure(settings.log_level)
    _warn_of_other_sites(settings)
    host, _, port = settings.bind.rpartition(":")
    _check_bind(host.strip("[]"), int(port))
    _check_folder(settings.data_dir)
    certificate = _certificate(settings)
    os.environ["TESSERRA_PARENT"] = str(os.getpid())  # app.PARENT: workers end with us
    server = (_Sharing if certificate else Granian)(
        "service.app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        # A proxy uses HTTP/1.1 with us; clients that reach us directly may use HTTP/2.
        http=HTTPModes.auto if certificate else HTTPModes.http1,
        address=host.strip("[]"),
        port=int(port),
        workers=settings.workers,
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=_TAKES_OVER_SECONDS,
        workers_kill_timeout=20,  # kernel/leaving.py: four to leave, and 15 to answer
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        http2_settings=HTTP2Settings(max_headers_size=16 * 1024, max_concurrent_streams=100),
        ssl_cert=certificate.cert if certificate else None,
        ssl_key=certificate.key if certificate else None,
        ssl_protocol_min=SSLProtocols.tls12,
        log_access=False,
        log_dictconfig=log.SERVER,
        log_level=LogLevels.warning,
    )
    server.respawned_wrks = _Respawned()
    if certificate is None:
        server.serve()
        return
    server.on_reload(certificate.renew)  # SIGHUP: every worker is replaced, one after the other
    try:
        server.serve()
    finally:
        certificate.forget()


class _Sharing(MPServer):
    """Workers that accept connections from one shared queue, so that none is lost with a worker.

    Granian gives each worker a socket of its own.  Connections that wait in it end with the worker,
    and workers end when a certificate is renewed.
    """

    def _init_shared_socket(self) -> None:
        family, kind, protocol, _, address = _address(self.bind_addr, self.bind_port)
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(self.backlog)
        listening.setblocking(False)
        self._ssp, self._sso = None, listening
        holder: Any = SocketHolder  # its stub knows no arguments
        self._shd = holder(listening.fileno(), False, self.backlog)


class _Respawned(dict[int, float]):
    """When each worker was started again.  Granian reads this to decide whether to give up.

    Granian would end everything, healthy workers too, when a worker dies within 5.5 s of its last
    death.  Here that takes ten deaths of one worker within a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._deaths: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_DEATHS))

    def __setitem__(self, worker: int, at: float) -> None:
        self._deaths[worker].append(at)
        super().__setitem__(worker, at)

    def get(self, worker: int, default: float = 0.0) -> float:  # type: ignore[override]
        """Return when a worker was last started again; `default` while all is well enough."""
        deaths = self._deaths[worker]
        hopeless = len(deaths) == _DEATHS and deaths[-1] - deaths[0] < _DEATHS_SECONDS
        return super().get(worker, default) if hopeless else default


@click.command(cls=Command)
@click.option("--grant-to", "role", help="Grant the service's role what it needs.")
@click.option("--json", "as_json", is_flag=True)
def migrate(role: str | None, *, as_json: bool) -> None:
    """Bring the database's schema up to date."""
    settings = edge.settings()
    applied = edge.finish(_migrate(settings, role))
    names = [f"{m.version:04}_{m.name}" for m in applied]
    edge.tell(
        "\n".join(f"applied {name}" for name in names) or "nothing to apply",
        {"applied": names},
        as_json=as_json,
    )


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True)
def prune(*, as_json: bool) -> None:
    """Drop expired data, in batches.  When interrupted, it prints what it has done so far."""
    dropped: Counter[str] = Counter()

    async def act(rt: Runtime, call: Call) -> None:
        async for kind, count in upkeep.prune(rt, call):
            dropped[kind] += count
        dropped["months of events"] = await drop_old_months(rt, call)

    try:
        edge.run(act)
    finally:
        if dropped:
            text = ", ".join(f"{count} {kind}" for kind, count in dropped.items())
            edge.tell(f"dropped {text}", {"dropped": dropped}, as_json=as_json)


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Only compare; exit 1 when it differs.")
def openapi(*, check: bool) -> None:
    """Write openapi/tesserra-auth.json from the routes."""
    from service.app import openapi_document  # noqa: PLC0415 - serving workers import it themselves

    text = openapi_document()
    if not check:
        _OPENAPI.parent.mkdir(exist_ok=True)
        _OPENAPI.write_text(text)
        click.echo(f"wrote {_OPENAPI.parent.name}/{_OPENAPI.name}")
    elif not _OPENAPI.exists() or _OPENAPI.read_text() != text:
        edge.fail("openapi/ is not what the wires say: run `python -m service openapi`")


def _warn_of_other_sites(settings: Settings) -> None:
    """Warn of allowed origins whose pages could sign in but never refresh.

    Their browsers do not send the cookie, because the origin is another site than the issuer.
    """
    for origin in settings.allowed_origins:
        if surely_cross_site(settings.issuer, origin):
            log.log().warning(
                "an allowed origin is another site than the issuer",
                error=f"AUTH_ALLOWED_ORIGINS: {origin} is not same-site with AUTH_ISSUER: browsers"
                " send no SameSite=Strict cookie from there, so that refresh and sign-out fail",
            )


def _check_bind(host: str, port: int) -> None:
    """Fail when another program listens there: workers share their port, also with strangers."""
    try:
        family, kind, protocol, _, address = _address(host, port)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no such port"
        edge.fail(f"AUTH_BIND: cannot listen there ({why})")


def _check_folder(folder: Path) -> None:
    """Fail when we cannot write to this folder, or cannot make it."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        edge.fail("AUTH_DATA_DIR: no folder can be kept there")


def _address(host: str, port: int) -> tuple[Any, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0]


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return Certificate(settings.tls_cert, settings.tls_key)
    except BadCertificateError as exc:
        edge.fail(f"AUTH_TLS_CERT and AUTH_TLS_KEY: cannot be used ({exc})")


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def _heed_signals() -> None:
    for number in _STOPS:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()


async def _try(settings: Settings) -> None:
    """Open and close everything once, so that a refusal to start is one line without a stack trace.

    Workers start without Redis, which may be lost at any later moment.  But here a missing Redis
    refuses to start, so that a wrong address is noticed.
    """
    async with open_runtime(settings, follow=False) as rt:
        if rt.keyring.broken:  # commands go on without the key, so that `key kill` can run
            raise StartError(f"{'; '.join(rt.keyring.broken)}: restore it, or `key kill` it")
        for again in reversed(range(_REDIS_TRIES)):
            try:
                await rt.redis.check()
                break
            except RedisLostError as exc:
                if not again:
                    raise StartError(f"AUTH_REDIS_URL: {exc}") from None
            await asyncio.sleep(1)


async def _migrate(settings: Settings, role: str | None) -> list[migrations.Migration]:
    with blaming("AUTH_DATABASE_URL"):
        async with connected(settings.database_url, settings.database_schema) as connection:
            applied = await migrations.migrate(connection, settings.database_schema)
            if role is not None:
                await migrations.grant_to(connection, role)
            return applied
