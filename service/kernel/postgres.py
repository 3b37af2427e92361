"""PostgreSQL: a pool, and the two ways to use it - statement by statement, and deciding."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from weakref import WeakSet

import asyncpg
from asyncpg.pool import Pool

from service.kernel import causes
from service.kernel.dialing import Address, CannotConnectError, Session, dial, is_choice
from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Tx

_DIAL_SECONDS = 3.0
_LOOK_SECONDS = 1.2
"""Longer than a silent host is waited for, and short: the next look follows."""

_OUTDATED = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
"""What says that a session is not the one we prepared: a pooler took it away, or somebody migrated.
Every connection is opened, and looked at, anew."""

LOST = (
    CannotConnectError,
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
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    *_OUTDATED,
)
"""What a server raises that went away, is full, is only a replica, has not granted us what we need
(`migrate --grant-to`), or that another transaction came in the way of: 503, never a 500."""

_UNWRITABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""What a text with a NUL in it raises: no text of ours has one, so it can name nothing here."""


class DoomedError(Exception):
    """A failed statement had already doomed a transaction that was to commit: a fault of ours."""


class Postgres:
    """The pool.  Opened by `connect`, closed by `close`."""

    def __init__(self, url: str, schema: str, most: int) -> None:
        self._url = url
        self._schema = schema
        self._most = most
        self._several = is_choice(url)
        self._address: Address | None = None
        self._open: WeakSet[Session] = WeakSet()
        self.is_unsure = False
        """Another host had to be used for a new connection: those that are open may be silent."""
        self._outdated = False
        self._pool: Pool[asyncpg.Record]

    @classmethod
    async def connect(cls, url: str, schema: str, *, most: int = 12) -> "Postgres":
        """Open the pool.  CannotConnectError says why it cannot be."""
        opened = cls(url, schema, most)
        opened._pool = await opened._fill()
        return opened

    async def _fill(self) -> "Pool[asyncpg.Record]":
        async def connect(*_: object, **__: object) -> Session:
            session = await dial(
                self._url, self._schema, _DIAL_SECONDS, self._address, command_timeout=10
            )
            self.is_unsure |= self._address not in (None, session.address)
            self._address = session.address
            self._open.add(session)
            return session

        return await asyncpg.create_pool(
            min_size=1,
            max_size=self._most,
            max_inactive_connection_lifetime=300,
            connection_class=Session,
            connect=connect,
        )

    async def leave_silent(self) -> bool:
        """Leave a host that is in use and silent, where another of the URL answers, taking writes.

        What is under way at it is cut off: its outcome is unknown, as with any lost connection.
        `is_unsure` stays true where a look failed, so that the next look follows.
        """
        self.is_unsure = False  # first: a connection that is opened meanwhile may set it again
        used = {one.address for one in self._open if not one.is_closed()}
        suspects = used - {self._address} or used
        left = False
        for suspect in suspects if self._several else ():
            try:
                session = await dial(self._url, self._schema, _LOOK_SECONDS, suspect)
            except CannotConnectError:
                self.is_unsure = True
                continue
            session.terminate()
            if session.address != suspect:
                left = True
                self._address = session.address
                for one in list(self._open):
                    if one.address == suspect:
                        one.terminate()
        return left

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
        with self._told():
            pool = await self._current()
            async with pool.acquire(timeout=3) as tx:
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
        with self._told():
            pool = await self._current()
            async with pool.acquire(timeout=3) as tx:
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

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """Lend a connection whose statements all see the database as the first SELECT finds it.

        It reads alone.  DROP TABLE takes rows from a snapshot too: lock what must stay (LOCK TABLE)
        before that SELECT.  What takes longer than 15 s between two statements loses it:
        Refused(UNAVAILABLE).
        """
        with self._told():
            pool = await self._current()
            async with pool.acquire(timeout=3) as tx:
                await tx.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                try:
                    yield tx
                finally:
                    with contextlib.suppress(*LOST):
                        await tx.execute("ROLLBACK")

    async def now(self) -> datetime:
        """Ask the database for the time."""
        async with self._pool.acquire(timeout=3) as tx:
            told: datetime = await tx.fetchval("SELECT clock_timestamp()")
        return told

    def gauges(self) -> dict[str, int]:
        """How many connections are open and how many of them idle."""
        return {"open": self._pool.get_size(), "idle": self._pool.get_idle_size()}

    async def _current(self) -> "Pool[asyncpg.Record]":
        if self._outdated:
            self._outdated = False
            await self._pool.expire_connections()
        return self._pool

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what is not ours into a refusal: the server's failures, and texts it cannot hold."""
        try:
            yield
        except LOST as lost:
            self._outdated |= isinstance(lost, _OUTDATED)
            why = f": {lost}" if isinstance(lost, CannotConnectError) else ""
            raise unavailable(f"postgresql: {type(lost).__name__}{why}") from lost
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


async def connect_once(url: str, schema: str) -> Session:
    """Open one connection, to migrate or to look before starting.  CannotConnectError."""
    return await dial(url, schema, 5)


@asynccontextmanager
async def connected(url: str, schema: str) -> AsyncIterator[Session]:
    """Lend one connection.  CannotConnectError, also when the server says no meanwhile."""
    connection = await connect_once(url, schema)
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as exc:
        raise CannotConnectError(causes.postgres(exc, url)) from None
    finally:
        await connection.close()
