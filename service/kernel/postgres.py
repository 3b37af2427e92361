"""PostgreSQL: a pool, and the two ways to use it - statement by statement, and deciding."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from asyncpg.pool import Pool

from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Tx

SCHEMA_VARIABLE = "search_path"

LOST = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # not a PostgresError: seen on COMMIT after a backend was killed
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)
"""What a server raises that went away, is full, is only a replica, or has not granted us what we
need (`migrate --grant-to`): 503, never a 500."""

_UNWRITABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""What a text with a NUL in it raises: no text of ours has one, so it can name nothing here."""


if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # not subscriptable at run time


class _Lean(_Connection):
    """A connection that keeps no session state, so that giving it back costs no round trip."""

    def get_reset_query(self) -> str:
        return ""


class CannotConnectError(Exception):
    """The address is no PostgreSQL URL, or nothing usable answers; the message says which."""


class DoomedError(Exception):
    """A failed statement had already doomed a transaction that was to commit: a fault of ours."""


class Postgres:
    """The pool.  Opened by `connect`, closed by `close`."""

    def __init__(self, pool: "Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str, schema: str, *, most: int = 12) -> "Postgres":
        """Open the pool; raises what asyncpg raises when the server cannot be reached."""
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=most,
            timeout=3,
            command_timeout=10,
            max_inactive_connection_lifetime=300,
            connection_class=_Lean,
            server_settings={
                SCHEMA_VARIABLE: schema,
                "timezone": "UTC",
                "application_name": "tesserra-auth",
                "jit": "off",
                "idle_in_transaction_session_timeout": "15000",
            },
        )
        return cls(pool)

    async def close(self) -> None:
        """Close the pool, without waiting longer than 5 s for those who still use it."""
        with contextlib.suppress(TimeoutError, asyncpg.InterfaceError):
            async with asyncio.timeout(5):
                await self._pool.close()
                return
        self._pool.terminate()

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        """Lend a connection to look something up: `autocommit`, by whoever writes nothing."""
        return self.autocommit()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Tx]:
        """Lend a connection; each statement is a transaction of its own.

        Refused(UNAVAILABLE) when it is lost.
        """
        with _told():
            async with self._pool.acquire(timeout=3) as tx:
                yield tx

    @asynccontextmanager
    async def decision(self) -> AsyncIterator[Tx]:
        """One transaction that commits on return *and* on Refused, and rolls back on anything else.

        Refusals write: a wrong password adds a strike, a replayed token burns a family, and both
        leave an event.  A COMMIT whose answer was lost is Refused(UNAVAILABLE): the outcome is
        unknown, the caller may retry, and nothing here retries it.  DoomedError when a statement
        failed and the failure was swallowed: nothing was written.
        """
        refusal: Refused | None = None
        with _told():
            async with self._pool.acquire(timeout=3) as tx:
                await tx.execute("BEGIN")
                try:
                    yield tx
                except Refused as refused:
                    refusal = refused
                except BaseException:
                    with contextlib.suppress(*LOST):
                        await tx.execute("ROLLBACK")
                    raise
                await _commit(tx)
        if refusal:
            raise refusal

    async def now(self) -> datetime:
        """Ask the database for the time."""
        async with self._pool.acquire(timeout=3) as tx:
            told: datetime = await tx.fetchval("SELECT clock_timestamp()")
        return told

    def gauges(self) -> dict[str, int]:
        """How many connections are open and how many of them idle."""
        return {"open": self._pool.get_size(), "idle": self._pool.get_idle_size()}


@contextmanager
def _told() -> Iterator[None]:
    """Turn what is not ours into a refusal: the server's failures, and texts it cannot hold."""
    try:
        yield
    except LOST as lost:
        raise unavailable(f"postgresql: {type(lost).__name__}") from lost
    except _UNWRITABLE as exc:
        raise Refused(
            Reason.INVALID_REQUEST,
            "a text holds a NUL",
            private=f"postgresql: {type(exc).__name__}",
        ) from exc


async def _commit(tx: Tx) -> None:
    """Commit.  PostgreSQL answers the COMMIT of a doomed transaction with a quiet ROLLBACK."""
    if await tx.execute("COMMIT") != "COMMIT":
        raise DoomedError


async def connect_once(url: str, schema: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one plain connection, to migrate or to look before starting.  CannotConnectError."""
    try:
        connection: Any = await asyncpg.connect(
            url, timeout=5, server_settings={SCHEMA_VARIABLE: schema, "timezone": "UTC"}
        )
    except ValueError:  # before the others: asyncpg's own is both
        raise CannotConnectError("not a PostgreSQL URL") from None
    except (*LOST, asyncpg.PostgresError) as exc:
        raise CannotConnectError(f"PostgreSQL cannot be used ({type(exc).__name__})") from None
    return cast("asyncpg.Connection[asyncpg.Record]", connection)


@asynccontextmanager
async def connected(url: str, schema: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Lend one plain connection.  CannotConnectError, also when the server says no meanwhile."""
    connection = await connect_once(url, schema)
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as exc:
        raise CannotConnectError(f"PostgreSQL cannot be used ({type(exc).__name__})") from None
    finally:
        await connection.close()
