"""Opens one connection to PostgreSQL with the settings the service relies on, or says why not.

An operator, a database, a role or a pooler may have changed any setting.  So each setting is set
after connecting and read back; one that cannot be set is refused by its name.  None is sent in the
startup packet, because poolers refuse parameters that they do not know.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg
from asyncpg import connect_utils

from service.kernel import causes

T = TypeVar("T")

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # not subscriptable at run time

Address: TypeAlias = str | tuple[str, int]

_NEXT_HOST_SECONDS = 0.5
"""After this time without an answer, the next host is tried beside the silent one."""
_COMPANION_SECONDS = 2.0

SETTINGS = {
    "search_path": "",  # the schema; filled in
    "application_name": "tesserra-auth",
    "array_nulls": "on",
    "bytea_output": "hex",
    "check_function_bodies": "on",
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "exit_on_error": "off",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "15s",
    "idle_session_timeout": "0",
    "intervalstyle": "postgres",
    "jit": "off",
    "lock_timeout": "0",
    "plan_cache_mode": "auto",
    "plpgsql.extra_errors": "none",
    "restrict_nonsystem_relation_kind": "",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "synchronous_commit": "on",  # unless it is another than `off`
    "timezone": "UTC",
    "transaction_timeout": "0",
    "transform_null_equals": "off",
}
"""The settings of each session.  A parameter that this PostgreSQL does not know is skipped."""

_REQUIRED = {
    "default_transaction_read_only": "off",
    "server_encoding": "UTF8",
    "session_replication_role": "origin",
}
"""Settings that are checked and not changed: an operator who sets read-only means it."""

_OLDEST = 150000

_SET = """
SELECT pg_catalog.set_config(wanted.name, wanted.value, false)
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]))
       AS wanted (name, value)
 WHERE pg_catalog.current_setting(wanted.name, true) <> wanted.value
   AND (wanted.name <> 'synchronous_commit' OR pg_catalog.current_setting(wanted.name) = 'off')
"""
_LOOK = """
SELECT wanted.name, pg_catalog.current_setting(wanted.name, true) AS value
  FROM pg_catalog.unnest($1::text[]) AS wanted (name)
"""


# The driver's own parser: only it knows which hosts the driver will connect to.
_parse: Any = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined] # noqa: SLF001
_UNSAID = dict.fromkeys(inspect.signature(_parse).parameters)


class CannotConnectError(Exception):
    """PostgreSQL cannot be used at this URL.  The message says why and reveals no part of it."""


class Session(_Connection):
    """A connection that keeps no state between uses, so returning it costs no round trip."""

    address: Address

    def get_reset_query(self) -> str:
        """Return "": nothing is sent when the connection goes back to the pool."""
        return ""


async def dial(
    url: str, schema: str, seconds: float, before: Address | None = None, **options: Any
) -> Session:
    """Connect to the first host of the URL that answers and accepts writes.

    `seconds` bounds the whole attempt; the host `before` is tried first; `options` go to asyncpg.
    Raises CannotConnectError.
    """
    addresses, demanded = _read(url)
    addresses.sort(key=lambda at: at != before)  # stable: the others keep their order
    options["target_session_attrs"] = demanded
    try:
        async with asyncio.timeout(seconds):
            session = await _first([_attempt(url, at, options) for at in addresses])
            try:
                await _settle(session, schema, _attempt(url, session.address, options))
            except BaseException:
                session.terminate()
                raise
    except CannotConnectError:
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
        raise CannotConnectError(causes.postgres(exc, url)) from None
    except (OSError, TimeoutError) as exc:
        raise CannotConnectError(causes.postgres(exc, url)) from None
    return session


def is_choice(url: str) -> bool:
    """Whether a URL names several hosts.  CannotConnectError when it cannot be parsed."""
    return len(_read(url)[0]) > 1


def _read(url: str) -> tuple[list[Address], str]:
    """Return the hosts, and the kind of host that is wanted (writable).  CannotConnectError."""
    try:
        addresses, parameters = _parse(**{**_UNSAID, "dsn": url})
    except (ValueError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
        raise CannotConnectError(causes.postgres_url(exc, url)) from None
    demanded = parameters.target_session_attrs.value
    if demanded == "any":
        return addresses, "primary"
    if demanded not in ("primary", "read-write"):
        raise CannotConnectError("target_session_attrs must be primary or read-write")
    return addresses, demanded


def _attempt(url: str, at: Address, options: dict[str, Any]) -> Callable[[], Awaitable[Session]]:
    host, port = (at, None) if isinstance(at, str) else at

    async def connect() -> Session:
        session: Session = await asyncpg.connect(
            url, host=host, port=port, timeout=60, **{"connection_class": Session, **options}
        )
        session.address = at
        return session

    return connect


async def _first(attempts: Sequence[Callable[[], Awaitable[Session]]]) -> Session:
    """Try the hosts in order and return the first session; raise the most telling failure.

    When a host has not answered for half a second, the next is tried beside it.
    """
    waiting = list(attempts)
    asked: list[asyncio.Task[Session]] = []
    failures: list[BaseException] = []
    try:
        while waiting or asked:
            if waiting:
                asked.append(asyncio.ensure_future(waiting.pop(0)()))
            patience = _NEXT_HOST_SECONDS if waiting else None
            done, _ = await asyncio.wait(
                asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            for task in [one for one in asked if one in done]:
                asked.remove(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                failures.append(failure)
    finally:
        for task in asked:
            task.cancel()
            task.add_done_callback(_hang_up)
    raise min(failures, key=lambda failure: isinstance(failure, OSError | TimeoutError))


def _hang_up(task: "asyncio.Task[Session]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


async def _settle(session: Session, schema: str, again: Callable[[], Awaitable[Session]]) -> None:
    """Apply and check the settings we rely on.  CannotConnectError when one does not hold."""
    wanted = {**SETTINGS, "search_path": schema}
    try:
        await session.execute("DISCARD ALL")  # a pooler may hand on the state of another client
        if await _pid(session) != session.get_server_pid():  # a pooler invents the process id
            await _refuse_shared(session, again)
        await session.fetch(_SET, list(wanted), list(wanted.values()))
        names = [*wanted, *_REQUIRED, "server_version_num"]
        found = {row["name"]: row["value"] for row in await session.fetch(_LOOK, names)}
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        raise CannotConnectError(_SHARED) from None
    except asyncpg.InsufficientPrivilegeError as exc:
        named = re.search(r"[a-z_]+\.?[a-z_]+(?=\W*$)", str(exc))
        if named and named[0] in wanted:
            raise CannotConnectError(_NOT_KEPT.format(name=named[0])) from None
        raise
    if int(found["server_version_num"]) < _OLDEST:
        raise CannotConnectError("PostgreSQL 15 or newer is needed")
    for name, value in _REQUIRED.items():
        if found[name] != value:
            raise CannotConnectError(_MUST_BE.format(name=name, value=value))
    for name, value in wanted.items():
        unlike = found[name] not in (None, value)
        if unlike and (name != "synchronous_commit" or found[name] == "off"):
            raise CannotConnectError(_NOT_KEPT.format(name=name))


_MUST_BE = (
    "the parameter {name} must be {value} for the service: see what the server, ALTER DATABASE and"
    " ALTER ROLE say of it"
)
_NOT_KEPT = (
    "the parameter {name} cannot be set: the role may not, or a pooler does not keep it"
    " (pool_mode=session)"
)
_SHARED = (
    "a pooler gives each transaction another session of PostgreSQL: set pool_mode=session for this"
    " database, or name PostgreSQL itself"
)
_NO_SECOND = (
    "a pooler lends no second connection: it needs 12 for each worker and 2 more"
    " (default_pool_size, max_client_conn)"
)


async def _refuse_shared(session: Session, again: Callable[[], Awaitable[Session]]) -> None:
    """Refuse a pooler whose connections are not sessions.  CannotConnectError.

    Opens a second connection.  Each of the two must always reach the same PostgreSQL process, and
    not the other's.  The order of the questions exposes both kinds of pooler: one that lends the
    last used process, and one that lends them in turns.
    """
    try:
        async with asyncio.timeout(_COMPANION_SECONDS):
            other = await again()
            try:
                await other.execute("DISCARD ALL")
                asked = (session, session, other, other, session, other)
                pids = [(one is session, await _pid(one)) for one in asked]
            finally:
                other.terminate()
    except (TimeoutError, asyncpg.TooManyConnectionsError):
        raise CannotConnectError(_NO_SECOND) from None
    own, others = ({pid for mine, pid in pids if mine is whose} for whose in (True, False))
    if len(own) > 1 or len(others) > 1 or own == others:
        raise CannotConnectError(_SHARED)


async def _pid(session: Session) -> int:
    pid: int = await session.fetchval("SELECT pg_catalog.pg_backend_pid()")
    return pid
