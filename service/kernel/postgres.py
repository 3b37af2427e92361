"""PostgreSQL: a pool of connections, and the ways to use one (autocommit, decision, snapshot)."""

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
"""Time for one check of a silent host: longer than its answer may take; checks are repeated."""

_OUTDATED = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
"""Errors which say that a session is not the one we prepared: a pooler exchanged it, or a migration
ran.  Then every connection is opened and checked anew."""

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
"""Errors that are answered with 503, never with 500: the server is gone, full or only a replica,
our role lacks a privilege (`migrate --grant-to`), or another transaction was in the way."""

_UNWRITABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""Errors for a text with a NUL character.  No stored text has one, so the request is wrong."""


class DoomedError(Exception):
    """A transaction was to commit after one of its statements had failed: a bug in the caller."""


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
        """A new connection went to another host, so the open ones may be to a silent host."""
        self._outdated = False
        self._pool: Pool[asyncpg.Record]

    @classmethod
    async def connect(cls, url: str, schema: str, *, most: int = 12) -> "Postgres":
        """Open the pool.  CannotConnectError says why that failed."""
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
        """Close the connections to a silent host, when another host of the URL accepts writes.

        Statements that run there are cut off; their outcome is unknown, as with any lost
        connection.  `is_unsure` stays true when a check failed, so that another check follows.
        Returns whether a host was left.
        """
        self.is_unsure = False  # first, because a new connection may set it again meanwhile
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
        """Close the pool.  Connections in use get 5 s to finish."""
        with contextlib.suppress(TimeoutError, asyncpg.InterfaceError):
            async with asyncio.timeout(5):
                await self._pool.close()
                return
        self._pool.terminate()

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        """Lend a connection for statements that only read: the same as `autocommit`."""
        return self.autocommit()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Tx]:
        """Lend a connection on which each statement is its own transaction.

        Refused(UNAVAILABLE) when the connection is lost.
        """
        with self._told():
            pool = await self._current()
            async with pool.acquire(timeout=3) as tx:
                yield tx

    @asynccontextmanager
    async def decision(self) -> AsyncIterator[Tx]:
        """Open a transaction that commits on return *and* on Refused, and rolls back on any error.

        Refusals commit because they write: a wrong password adds a strike, a replayed token burns a
        family, and both record an event.  Refused(UNAVAILABLE) when the answer to COMMIT was lost:
        the outcome is unknown, nothing is retried here, and the caller may retry.  DoomedError when
        the caller ignored the failure of a statement: nothing was written.
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
        """Lend a connection whose statements all see the database as the first SELECT found it.

        It is read-only.  DROP TABLE removes rows from a snapshot too: lock tables that must stay
        (LOCK TABLE) before the first SELECT.  Refused(UNAVAILABLE) when the connection is lost, as
        it is after 15 s without a statement.
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
        """Return the database's time."""
        async with self._pool.acquire(timeout=3) as tx:
            told: datetime = await tx.fetchval("SELECT clock_timestamp()")
        return told

    def gauges(self) -> dict[str, int]:
        """Return how many connections are open, and how many of them are idle."""
        return {"open": self._pool.get_size(), "idle": self._pool.get_idle_size()}

    async def _current(self) -> "Pool[asyncpg.Record]":
        if self._outdated:
            self._outdated = False
            await self._pool.expire_connections()
        return self._pool

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn failures of the server, and texts that it cannot store, into refusals."""
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
    """Commit.  DoomedError: after a failed statement PostgreSQL answers COMMIT with ROLLBACK."""
    if await tx.execute("COMMIT") != "COMMIT":
        raise DoomedError


async def connect_once(url: str, schema: str) -> Session:
    """Open one connection, to migrate or to check before the start.  CannotConnectError."""
    return await dial(url, schema, 5)


@asynccontextmanager
async def connected(url: str, schema: str) -> AsyncIterator[Session]:
    """Lend one connection.  CannotConnectError, also when a statement on it fails."""
    connection = await connect_once(url, schema)
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as exc:
        raise CannotConnectError(causes.postgres(exc, url)) from None
    finally:
        await connection.close()
