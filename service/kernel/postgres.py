"""PostgreSQL: a pool of connections, and the ways to use one (autocommit, decision, snapshot)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakSet

import asyncpg
from asyncpg.pool import Pool

from service.kernel import causes
from service.kernel.dialing import Address, CannotConnectError, Session, dial, is_choice
from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Tx

if TYPE_CHECKING:
    from asyncpg import Record

Message = TypeVar("Message")
Publisher: TypeAlias = Callable[[list[Message]], Awaitable[None]]

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
"""Errors that are answered with 503, never with 500.  The server is gone, full or only a replica,
our role lacks a privilege (`migrate --grant-to`), or another transaction was in the way."""

_UNWRITABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""Errors for a text with a NUL character.  No stored text has one, so the request is wrong."""


class DoomedError(Exception):
    """A transaction was to commit after one of its statements had failed: a bug in the caller."""


class Decision:
    """A transaction, and the messages it leaves to be published once it has committed."""

    __slots__ = ("_connection", "_publishers", "left")

    def __init__(self, connection: Tx, publishers: Mapping[type, Publisher[Any]]) -> None:
        self._connection = connection
        self._publishers = publishers
        self.left: dict[type, list[Any]] = {}
        """By kind, each in the order it was left in."""

    def after_commit(self, messages: Iterable[object]) -> None:
        """Leave messages to be published once this has committed; never if it does not.

        LookupError for a kind that nobody publishes (`Postgres.publish_by`).
        """
        for message in messages:
            kind = type(message)
            if kind not in self._publishers:
                raise LookupError(f"nobody publishes {kind.__name__}")
            self.left.setdefault(kind, []).append(message)

    async def execute(self, statement: str, *given: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 - asyncpg's
        """Run a statement; return its command tag."""
        return await self._connection.execute(statement, *given, timeout=timeout)

    async def fetch(self, statement: str, *given: Any) -> "list[Record]":
        """Return every row."""
        return await self._connection.fetch(statement, *given)

    async def fetchrow(self, statement: str, *given: Any) -> "Record | None":
        """Return the first row."""
        return await self._connection.fetchrow(statement, *given)

    async def fetchval(self, statement: str, *given: Any) -> Any:
        """Return the first column of the first row."""
        return await self._connection.fetchval(statement, *given)


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
        self._publishers: dict[type, Publisher[Any]] = {}
        self._concluding: set[asyncio.Task[None]] = set()
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

    def publish_by(self, kind: type[Message], publisher: Publisher[Message]) -> None:
        """Set who publishes the messages of one kind that decisions leave (`after_commit`).

        The publisher is called after the commit, outside any transaction, with the messages of one
        decision.  The decision waits for it, and raises what it raises.
        """
        self._publishers[kind] = publisher

    @asynccontextmanager
    async def decision(self) -> AsyncIterator[Decision]:
        """Open a transaction that commits on return *and* on Refused, and rolls back on any error.

        Refusals commit because they write: a wrong password adds a strike, a replayed token burns a
        family, and both record an event.  Messages left by `Decision.after_commit` are published
        after the commit, before this ends.  Once COMMIT is sent, commit and publishing go on even
        when the caller is cancelled: a client that goes away stops nothing from being published.

        Refused(UNAVAILABLE) when the answer to COMMIT was lost: the outcome is unknown, nothing is
        retried or published here, and the caller may retry.  DoomedError when the caller ignored
        the failure of a statement: nothing was written.
        """
        refusal: Refused | None = None
        async with AsyncExitStack() as stack:
            with self._told():
                pool = await self._current()
                connection = await stack.enter_async_context(pool.acquire(timeout=3))
                await connection.execute("BEGIN")
                tx = Decision(connection, self._publishers)
                try:
                    yield tx
                except Refused as refused:
                    refusal = refused
                except BaseException:
                    with contextlib.suppress(*LOST):
                        await connection.execute("ROLLBACK")
                    raise
            held = stack.pop_all()
        concluding = asyncio.create_task(self._conclude(tx, held))
        self._concluding.add(concluding)
        concluding.add_done_callback(self._concluding.discard)
        await asyncio.shield(concluding)
        if refusal:
            raise refusal

    async def _conclude(self, tx: Decision, held: AsyncExitStack) -> None:
        """Commit, give the connection back, publish."""
        with self._told():
            async with held:
                await _commit(tx)
        published = (self._publishers[kind](some) for kind, some in tx.left.items())
        for failure in await asyncio.gather(*published, return_exceptions=True):
            if failure is not None:
                raise failure

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
