"""The hot path: routine rotation, many families in one round trip and one commit.

A room of its own because it is the service's most frequent write.  It answers only what is routine
(see `rotate` in sql/queries/families.sql); anything else it leaves undecided, and model.py decides
it the plain way, in a decision.  A test holds the two against each other.
"""

from datetime import datetime

from msgspec import Struct

from service.domain.families.model import Presented, Where
from service.domain.families.store import queries
from service.kernel.batch import Batcher
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.postgres import Postgres


class Rotation(Struct, frozen=True, kw_only=True):
    """A family that was rotated, and who it stands for."""

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


class _Asked(Struct, frozen=True):
    presented: Presented
    successor: Presented
    at: datetime
    where: Where


_rotate = queries.rows("rotate", Rotation)


class Rotations:
    """Rotates, gathering under load."""

    def __init__(self, pg: Postgres) -> None:
        self._pg = pg
        self._batcher = Batcher(self._rotate, key=lambda asked: asked.presented.handle_hash)

    async def rotate(
        self, presented: Presented, successor: Presented, at: datetime, where: Where
    ) -> Rotation | None:
        """Rotate if it is routine; None, and nothing is changed, when it is not."""
        return await self._batcher.ask(_Asked(presented, successor, at, where))

    async def _rotate(self, asked: list[_Asked]) -> list[Rotation | None]:
        async with self._pg.autocommit() as tx:
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
            )
        by_handle = {rotation.handle_hash: rotation for rotation in rotated}
        return [by_handle.get(a.presented.handle_hash) for a in asked]
