"""Routine rotation of refresh tokens: many families in one round trip and one commit.

It has its own module because it is the service's most frequent write.  It decides only the routine
case (see `rotate` in sql/queries/families.sql).  Every other case is left undecided, and model.py
decides it, in a decision.  A test compares the two.

The statement stores when a token is superseded, and the commit follows: usually within
milliseconds, but a commit may hang, because a standby is lost or PostgreSQL was stopped.  So every
rotation runs in `confirming`.  A rotation counts as hung when it takes longer than SLOW from when
its statement is sent; waiting for a connection does not count.  A second transaction then waits for
the row's lock.  The token counts as superseded from when that transaction gets the lock: before
anybody uses a successor, which takes the same lock, and before the successor is returned here.  A
confirmation that fails is repeated until it works.  Requests that waited meanwhile arrived before
anybody used the successor: `Family.state` needs no more.

Not covered: when a worker is killed while its commit hangs, the statement's time stays in the row,
so that an honest client has only the grace of a lost answer.  The same holds for decisions that
hang while _FOR_DECISIONS others already do.  Requests to a stopped worker count as arriving when
the worker goes on.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import Struct

from service.domain.families.model import PresentedToken, Where
from service.domain.families.store import queries
from service.kernel.batch import Batcher
from service.kernel.clock import Clock
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.postgres import Postgres
from service.kernel.refusal import Reason, Refused


class Rotation(Struct, frozen=True, kw_only=True):
    """A family that was rotated, and the person and organization of its session."""

    handle_hash: bytes
    absolute_expires_at: datetime
    session_id: SessionId
    tenant_id: TenantId
    user_id: UserId
    client_id: str
    amr: tuple[str, ...]
    auth_time: datetime
    email: str
    name: str
    platform_admin: bool
    role: str
    slug: str
    organization: str
    policy: str | None
    cutoff: datetime | None


class ToRotate(Struct, frozen=True):
    """A presented token, and when the request arrived."""

    presented: PresentedToken
    at: datetime


class _Routine(ToRotate, frozen=True):
    successor: PresentedToken
    where: Where
    client_id: str
    roles: tuple[str, ...] | None


SLOW = 0.5
"""A rotation counts as hung this many seconds after its statement was sent."""

_FLIGHTS = 2
_FOR_DECISIONS = 4
"""At most this many rotations of decisions are confirmed at once, each on its own connection.
Batched rotations have _FLIGHTS more."""

_MOST_UNCONFIRMED = 10_000
_TOGETHER = 128
_PAUSE = 0.5
_rotate = queries.rows("rotate", Rotation)
_settle = queries.command("settle")
_commit_locally = queries.command("commit_locally")


class Rotations:
    """Rotates families, in batches under load.  `close` ends it."""

    def __init__(self, pg: Postgres, clock: Clock) -> None:
        self._pg = pg
        self._clock = clock
        self._batcher = Batcher(
            self._rotate, key=lambda asked: asked.presented.handle_hash, flights=_FLIGHTS
        )
        self._unconfirmed: dict[bytes, ToRotate] = {}
        self._confirmer: asyncio.Task[None] | None = None
        self._hanging: dict[asyncio.Event, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Cancel all confirmations and wait for their end."""
        tasks = [*self._hanging.values(), *([self._confirmer] if self._confirmer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def confirmed(self) -> None:
        """Wait until every rotation whose outcome is unknown has been confirmed."""
        if self._confirmer is not None:
            await self._confirmer

    async def rotate(
        self,
        presented: PresentedToken,
        successor: PresentedToken,
        at: datetime,
        where: Where,
        client_id: str,
        roles: tuple[str, ...] | None = None,
    ) -> Rotation | None:
        """Rotate when that is routine.  Otherwise change nothing and return None.

        It is not routine when the token was issued to another client, or when `roles` are given and
        the person has none of them.
        """
        asked = _Routine(presented, at, successor, where, client_id, roles)
        return await self._batcher.ask(asked)

    async def _rotate(self, asked: list[_Routine]) -> list[Rotation | None]:
        most = _FLIGHTS + _FOR_DECISIONS
        async with self.confirming(asked, most) as sent, self._pg.autocommit() as tx:
            sent()
            rotated = await _rotate.all(
                tx,
                handle_hashes=[a.presented.handle_hash for a in asked],
                generations=[a.presented.generation for a in asked],
                token_hashes=[a.presented.token_hash for a in asked],
                successor_hashes=[a.successor.token_hash for a in asked],
                ats=[a.at for a in asked],
                ips=[a.where.ip for a in asked],
                networks=[a.where.network for a in asked],
                agents=[a.where.agent for a in asked],
                client_ids=[a.client_id for a in asked],
                roles=[None if a.roles is None else " ".join(a.roles) for a in asked],
            )
        by_handle = {rotation.handle_hash: rotation for rotation in rotated}
        return [by_handle.get(a.presented.handle_hash) for a in asked]

    @asynccontextmanager
    async def confirming(
        self, asked: Sequence[ToRotate], most: int = _FOR_DECISIONS
    ) -> AsyncIterator[Callable[[], None]]:
        """Wrap the transaction of a rotation, so that a commit that hangs shortens no grace.

        Yields a function: call it just before the statement that rotates is sent.  Before that call
        nothing is confirmed, since nothing can have hung.  When `most` other rotations are being
        confirmed, this one is not: its client then has only the grace of a lost answer.
        """
        over = asyncio.Event()
        timer: asyncio.TimerHandle | None = None

        def sent() -> None:
            nonlocal timer
            timer = asyncio.get_running_loop().call_later(SLOW, self._follow, asked, over, most)

        try:
            yield sent
        except Refused as refused:
            if timer and refused.reason is Reason.UNAVAILABLE and over not in self._hanging:
                self._confirm_later(asked)
            raise
        finally:
            if timer:
                timer.cancel()
            over.set()
        if over in self._hanging:  # wait at most SLOW: the new token's own grace is running
            await asyncio.wait([self._hanging[over]], timeout=SLOW)

    def _follow(self, asked: Sequence[ToRotate], over: asyncio.Event, most: int) -> None:
        if len(self._hanging) >= most:
            return
        task = asyncio.create_task(self._confirm_until(asked, over), name="rotations")
        task.add_done_callback(lambda _: self._hanging.pop(over))
        self._hanging[over] = task

    async def _confirm_until(self, asked: Sequence[ToRotate], over: asyncio.Event) -> None:
        """Confirm repeatedly; the last confirmation begins after the rotation is over."""
        last = False
        while not last:
            last = over.is_set()
            try:
                await self._confirm(asked)
            except Refused:
                if last:
                    self._confirm_later(asked)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _PAUSE)

    async def _confirm(self, asked: Sequence[ToRotate]) -> None:
        async with self._pg.decision() as tx:
            await _commit_locally.run(tx)
            await _settle.run(
                tx,
                handle_hashes=[a.presented.handle_hash for a in asked],
                generations=[a.presented.generation for a in asked],
                ats=[a.at for a in asked],
            )

    def _confirm_later(self, asked: Sequence[ToRotate]) -> None:
        for one in asked[: _MOST_UNCONFIRMED - len(self._unconfirmed)]:
            self._unconfirmed[one.presented.handle_hash] = one
        if self._confirmer is None or self._confirmer.done():
            self._confirmer = asyncio.create_task(self._confirm_all(), name="rotations")

    async def _confirm_all(self) -> None:
        while self._unconfirmed:
            some = dict(itertools.islice(self._unconfirmed.items(), _TOGETHER))
            try:
                await self._confirm(list(some.values()))
            except Refused:
                await asyncio.sleep(_PAUSE)
                continue
            for handle_hash, one in some.items():
                if self._unconfirmed[handle_hash] is one:  # not asked again meanwhile
                    del self._unconfirmed[handle_hash]
