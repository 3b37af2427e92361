"""Statements on auth_users and auth_memberships."""

from datetime import datetime

from msgspec import Struct

from service.domain.users.model import Account, Membership, Role, Scheme
from service.kernel.ids import TenantId, UserId
from service.kernel.sql import Queries, Tx


class _Id(Struct, frozen=True):
    user_id: UserId


queries = Queries("users")
_insert = queries.rows("insert", _Id)
_insert_membership = queries.rows("insert_membership", _Id)
_find_by_email = queries.rows("find_by_email", Account)
_find = queries.rows("find", Account)
_lock = queries.rows("lock", Account)
_replace_password_hash = queries.command("replace_password_hash")
_change_password = queries.command("change_password")
_list_memberships = queries.rows("list_memberships", Membership)
_list_schemes = queries.rows("list_schemes", Scheme)


async def insert(tx: Tx, account: Account, at: datetime) -> bool:
    """Add a person; False when the e-mail is taken."""
    found = await _insert.maybe(
        tx,
        user_id=account.user_id,
        email=account.email,
        name=account.name,
        password_hash=account.password_hash,
        platform_admin=account.platform_admin,
        created_at=at,
    )
    return found is not None


async def insert_membership(
    tx: Tx, tenant_id: TenantId, user_id: UserId, role: Role, at: datetime
) -> bool:
    """Make a person a member; False when they are one."""
    found = await _insert_membership.maybe(
        tx, tenant_id=tenant_id, user_id=user_id, role=role, created_at=at
    )
    return found is not None


async def find_by_email(tx: Tx, email: str) -> Account | None:
    """Return who has this canonical e-mail."""
    return await _find_by_email.maybe(tx, email=email)


async def find(tx: Tx, user_id: UserId) -> Account | None:
    """Return a person."""
    return await _find.maybe(tx, user_id=user_id)


async def lock(tx: Tx, user_id: UserId) -> Account | None:
    """Return a person and hold them: the first lock of user, session, family."""
    return await _lock.maybe(tx, user_id=user_id)


async def replace_password_hash(tx: Tx, user_id: UserId, password_hash: str) -> None:
    """Store the same password hashed anew."""
    await _replace_password_hash.run(tx, user_id=user_id, password_hash=password_hash)


async def change_password(tx: Tx, user_id: UserId, password_hash: str, at: datetime) -> None:
    """Store a new password."""
    await _change_password.run(tx, user_id=user_id, password_hash=password_hash, changed_at=at)


async def list_memberships(tx: Tx, user_id: UserId) -> list[Membership]:
    """Return a person's organizations, the oldest membership first, disabled ones left out."""
    return await _list_memberships.all(tx, user_id=user_id)


async def list_schemes(tx: Tx) -> list[Scheme]:
    """Return each password scheme on file, with an example."""
    return await _list_schemes.all(tx)
