"""The composition root: the only module that may import every other.

Granian's workers call `create_app`.  Nothing is opened before the lifespan begins.
"""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.openapi import OpenAPIConfig

from service import settings as deployment
from service.flows.upkeep.tend import finish, learn_schemes, tend
from service.http import api_keys, exceptions, health, wellknown
from service.http import revocations as revocation_wires
from service.http.access import invitation, session
from service.http.account import own
from service.http.address import ClientAddresses, networks
from service.http.admin import (
    audit,
    clients,
    invitations,
    logos,
    organizations,
    secrets,
    sessions,
    signing_keys,
)
from service.http.admin import users as admin_users
from service.http.dialect import Neighbours
from service.http.edge import Edge
from service.http.oauth import endpoints
from service.http.openapi import OPENAPI, finished
from service.http.validation import check_request
from service.kernel import leaving, log, metrics, silent, waiting
from service.kernel.clock import Clock
from service.kernel.postgres import LOST
from service.kernel.refusal import Refused
from service.kernel.secret import Secret
from service.runtime import Runtime, StartError, open_runtime
from service.settings import Settings

PARENT = "TESSERRA_PARENT"
"""The environment variable in which `serve` gives its workers its process id."""

_LARGEST_BODY = 64 * 1024
_PR_SET_PDEATHSIG = 1
_STOPS = (signal.SIGTERM, signal.SIGINT)
_AGAIN_SECONDS = 0.5
_SERVING_SECONDS = 0.1
"""How soon after the start of serving a worker may be stopped by a signal."""


def create_app() -> Edge:
    """Build the application of a worker from its environment."""
    # Granian loses a signal that comes before the worker serves: block it until `_heed_signals`.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    settings = deployment.load()
    log.configure(settings.log_level)
    _end_with_parent()
    return build(settings)


def build(settings: Settings, opened: Runtime | None = None) -> Edge:
    """Build the application.  It uses the runtime `opened`, or opens its own."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        if opened is not None:
            app.state.rt = opened
            yield
            log.flush()
            return
        async with contextlib.AsyncExitStack() as stack:
            rt = app.state.rt = await _open(stack, settings)
            upkeep = asyncio.create_task(tend(rt), name="upkeep")
            if settings.tls_cert is not None:
                await stack.enter_async_context(silent.ending_silent(_port(settings)))
            shared = settings.tls_cert is not None  # cli/server.py
            stack.enter_context(
                leaving.giving_way(_port(settings), app.state.leaving, shared=shared)
            )
            gc.collect()
            gc.freeze()  # these objects stay; collections need not visit them again
            gc.set_threshold(50_000, 20, 20)
            asyncio.get_running_loop().call_later(_SERVING_SECONDS, _heed_signals)
            yield
            while not upkeep.done():
                upkeep.cancel()  # repeatedly: a library can lose a cancellation
                await asyncio.wait({upkeep}, timeout=1)
            try:
                await finish(rt)
            finally:
                metrics.hand_over()
                log.flush()

    app = litestar_app(settings, [lifespan])
    return Edge(app, settings, opened.clock if opened else Clock())


def litestar_app(
    settings: Settings,
    lifespan: list[Callable[[Litestar], contextlib.AbstractAsyncContextManager[None]]],
    openapi: OpenAPIConfig | None = None,
) -> Litestar:
    """Put the routes together.  `openapi` is None when serving: no document is served."""
    app = Litestar(
        route_handlers=[
            session.router,
            own.router,
            endpoints.router,
            revocation_wires.router,
            api_keys.router,
            sessions.router,
            secrets.router,
            signing_keys.router,
            organizations.router,
            audit.router,
            clients.router,
            invitations.router,
            logos.router,
            admin_users.router,
            invitation.router,
            health.router,
            wellknown.router,
        ],
        before_request=check_request,
        exception_handlers=exceptions.HANDLERS,
        lifespan=lifespan,
        openapi_config=openapi,
        request_max_body_size=_LARGEST_BODY,
        on_app_init=[_quiet],
    )
    app.state.neighbours = Neighbours(app)
    app.state.leaving = leaving.Leaving()
    app.state.client_addresses = ClientAddresses(networks(settings.trusted_proxies), Clock())
    return app


def openapi_document() -> str:
    """Return the OpenAPI document, the same on every machine."""
    settings = Settings(
        issuer="https://auth.example",
        database_url=Secret(""),
        redis_url=Secret(""),
        master_keys=(),
    )
    app = litestar_app(settings, [], OPENAPI)
    schema = finished(app.openapi_schema.to_schema(), app.routes)
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _quiet(config: AppConfig) -> AppConfig:
    """Turn off the framework's logging, which might write secrets: kernel/log.py does it."""
    config.logging_config = None
    return config


async def _open(stack: contextlib.AsyncExitStack, settings: Settings) -> Runtime:
    """Open the runtime, and try again until that works.

    The main process has checked everything when it started.  A worker that replaces a dead one may
    start while PostgreSQL is away, or after a newer release has migrated.  It must not fail again
    and again, because Granian would then end the other workers.  It logs why it waits, and the
    other workers' /readyz shows it.
    """
    told = ""
    waits = contextlib.ExitStack()
    while True:
        async with contextlib.AsyncExitStack() as attempt:
            try:
                rt = await attempt.enter_async_context(open_runtime(settings))
                await learn_schemes(rt)
            except (StartError, Refused, *LOST) as exc:
                why = f"{type(exc).__name__}: {exc}"
                if not told:
                    waits.enter_context(waiting.told())
                if told != why:
                    log.log().warning("worker waits", error=why)
                told = why
            else:
                waits.close()
                stack.push_async_exit(attempt.pop_all())
                return rt
        if not signal.sigpending().isdisjoint(_STOPS):
            os._exit(0)  # nothing is open
        await asyncio.sleep(_AGAIN_SECONDS)


def _port(settings: Settings) -> int:
    return int(settings.bind.rpartition(":")[2])


def _heed_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def _end_with_parent() -> None:
    """Let the system kill this worker when the process that started it dies, however it dies.

    By SIGKILL, because a worker that is still starting does not act on SIGTERM.  PostgreSQL rolls
    back its open transactions.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT, str(os.getppid()))
    if parent != str(os.getppid()):  # it died before prctl was called
        os._exit(1)
