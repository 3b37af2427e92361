"""fastapi-users: sign-in by password (its own Argon2id default) and /users/me, on PostgreSQL.

Runs in the peers' own virtual environment.  Its tokens are JWTs (HS256, its default strategy), and
each look at them reads the person's row.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "of a server that lives for a minute, and long enough"
PASSWORD = "correct unicorn paperclip"
engine = create_async_engine(
    os.environ["PEER_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=16
)
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """A person."""


class Shown(schemas.BaseUser[uuid.UUID]):
    """What is shown of one."""


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """As the guide has it."""


async def session() -> AsyncIterator[AsyncSession]:
    """Lend a session."""
    async with sessions() as opened:
        yield opened


async def manager(opened: AsyncSession = Depends(session)) -> AsyncIterator[Manager]:
    """Lend a manager."""
    yield Manager(SQLAlchemyUserDatabase(opened, User))


backend = AuthenticationBackend(
    name="jwt",
    transport=BearerTransport(tokenUrl="login"),
    get_strategy=lambda: JWTStrategy(secret=SECRET, lifetime_seconds=3600),
)
users = FastAPIUsers[User, uuid.UUID](manager, [backend])
app = FastAPI(openapi_url=None)
app.include_router(users.get_auth_router(backend))
app.include_router(users.get_users_router(Shown, schemas.BaseUserUpdate), prefix="/users")


async def _seed(count: int) -> list[dict[str, str]]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    people = []
    async with sessions() as opened:
        known = Manager(SQLAlchemyUserDatabase(opened, User))
        hashed = known.password_helper.hash(PASSWORD)
        for n in range(count):
            made = User(email=f"person-{n}@bench.example", hashed_password=hashed, is_active=True)
            opened.add(made)
            await opened.flush()
            token = await JWTStrategy(secret=SECRET, lifetime_seconds=3600).write_token(made)
            people.append({"access_token": token, "email": made.email, "password": PASSWORD})
        await opened.commit()
    await engine.dispose()
    return people


def seed(count: int) -> dict[str, object]:
    """Make people who have signed in."""
    return {"client_id": "", "client_secret": "", "people": asyncio.run(_seed(count))}


if __name__ == "__main__":
    import _serving

    _serving.serve("fastapi_users_server:app", "asgi", seed)
