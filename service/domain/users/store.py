"""Statements on auth_users and auth_memberships."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from service.domain.users.model import (
    Account,
    HeldMembership,
    Left,
    Member,
    Membership,
    Role,
    Scheme,
    nobody,
)
from service.kernel.ids import TenantId, UserId
from service.kernel.sql import JsonLine, Queries, Tx


class _Id(Struct, frozen=True):
    user_id: UserId


class _Owners(Struct, frozen=True):
    owners: int


class _Held(Struct, frozen=True):
    held: bool


class _Found(Struct, frozen=True):
    found: bool


class _Place(Struct, frozen=True):
    tenant_id: TenantId


queries = Queries("users")
_insert = queries.rows("insert", _Id)
_insert_membership = queries.rows("insert_membership", _Id)
_find_by_email = queries.rows("find_by_email", Account)
_find = queries.rows("find", Account)
_lock = queries.rows("lock", Account)
_lock_member = queries.rows("lock_member", _Id)
_hold_platform = queries.rows("hold_platform", _Held)
_is_last_way_in = queries.rows("is_last_way_in", _Found)
_replace_password_hash = queries.command("replace_password_hash")
_change_password = queries.command("change_password")
_list_memberships = queries.rows("list_memberships", Membership)
_lock_memberships = queries.rows("lock_memberships", HeldMembership)
_find_member = queries.rows("find_member", Member)
_list_members = queries.rows("list_members", Member)
_count_owners = queries.rows("count_owners", _Owners)
_list_owned = queries.rows("list_owned", _Place)
_list_joined = queries.rows("list_joined", _Place)
_leave_all = queries.rows("leave_all", Left)
_erase = queries.command("erase")
_change_role = queries.command("change_role")
_suspend = queries.command("suspend")
_remove_member = queries.command("remove_member")
_set_disabled = queries.command("set_disabled")
_list_schemes = queries.rows("list_schemes", Scheme)
_export_member = queries.rows("export_member", JsonLine)


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
    """Make a person a member; False when they are one already."""
    found = await _insert_membership.maybe(
        tx, tenant_id=tenant_id, user_id=user_id, role=role, created_at=at
    )
    return found is not None


async def find_by_email(
    tx: Tx, emails: tuple[str, ...], folded_before: str | None = None
) -> Account | None:
    """Return the account stored under one of these spellings; the first spelling found counts.

    `folded_before` only finds an account that was made before addresses followed IDNA 2008.
    """
    return await _find_by_email.maybe(tx, emails=list(emails), folded_before=folded_before)


async def find(tx: Tx, user_id: UserId) -> Account | None:
    """Return a person."""
    return await _find.maybe(tx, user_id=user_id)


async def lock(tx: Tx, user_id: UserId) -> Account | None:
    """Lock a person and return their account.  Lock order: user, then session, then family."""
    return await _lock.maybe(tx, user_id=user_id)


async def lock_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> None:
    """Lock a person if they are a member; the caller reads them afterwards."""
    await _lock_member.maybe(tx, tenant_id=tenant_id, user_id=user_id)


async def hold_platform(tx: Tx) -> None:
    """Lock the list of platform administrators until the transaction ends.

    Lock order: only locks of sessions, families, keys and revocations may follow.
    """
    await _hold_platform.one(tx)


async def is_last_way_in(tx: Tx, user_id: UserId | None, tenant_id: TenantId | None) -> bool:
    """Whether closing this would leave no platform administrator who can sign in.

    "This" is a person, an organization, or with both given the person's membership.
    """
    return (await _is_last_way_in.one(tx, user_id=user_id, tenant_id=tenant_id)).found


async def replace_password_hash(tx: Tx, user_id: UserId, password_hash: str) -> None:
    """Store a new hash of the same password."""
    await _replace_password_hash.run(tx, user_id=user_id, password_hash=password_hash)


async def change_password(tx: Tx, user_id: UserId, password_hash: str, at: datetime) -> None:
    """Store a new password."""
    await _change_password.run(tx, user_id=user_id, password_hash=password_hash, changed_at=at)


async def list_memberships(tx: Tx, user_id: UserId) -> list[Membership]:
    """Return a person's memberships, the oldest first, without disabled organizations."""
    return await _list_memberships.all(tx, user_id=user_id)


async def lock_memberships(tx: Tx, user_id: UserId, client_id: str) -> list[HeldMembership]:
    """Lock a person's memberships and return them, before a session of a client is opened.

    None of them can be closed until the transaction ends.  Lock order: after the person, before
    their sessions.
    """
    return await _lock_memberships.all(tx, user_id=user_id, client_id=client_id)


async def list_schemes(tx: Tx) -> list[Scheme]:
    """Return each stored password scheme, with one example hash."""
    return await _list_schemes.all(tx)


async def find_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> Member | None:
    """Return a member of an organization, suspended and disabled ones too."""
    return await _find_member.maybe(tx, tenant_id=tenant_id, user_id=user_id)


async def list_members(tx: Tx, tenant_id: TenantId, after: UUID | None, most: int) -> list[Member]:
    """Return a page of an organization's members after an id, the oldest account first."""
    return await _list_members.all(tx, tenant_id=tenant_id, after=after, most=most)


async def count_owners(tx: Tx, tenant_id: TenantId) -> int:
    """Count owners who can act; the caller holds the organization's lock."""
    return (await _count_owners.one(tx, tenant_id=tenant_id)).owners


async def list_owned(tx: Tx, user_id: UserId) -> list[TenantId]:
    """Return the organizations where a person is an owner who can act."""
    return [one.tenant_id for one in await _list_owned.all(tx, user_id=user_id)]


async def list_joined(tx: Tx, user_id: UserId) -> list[TenantId]:
    """Return every organization of which a person is a member, suspended or not."""
    return [one.tenant_id for one in await _list_joined.all(tx, user_id=user_id)]


async def leave_all(tx: Tx, user_id: UserId) -> list[Left]:
    """End every membership of a person."""
    return await _leave_all.all(tx, user_id=user_id)


async def erase(tx: Tx, user_id: UserId, at: datetime) -> None:
    """Remove name, e-mail and password from an account and close it for good."""
    await _erase.run(tx, user_id=user_id, email=nobody(user_id), erased_at=at)


async def change_role(tx: Tx, tenant_id: TenantId, user_id: UserId, role: Role) -> None:
    """Give a member another role."""
    await _change_role.run(tx, tenant_id=tenant_id, user_id=user_id, role=role)


async def suspend(
    tx: Tx, tenant_id: TenantId, user_id: UserId, disabled_at: datetime | None
) -> None:
    """Suspend a membership; `disabled_at` None: resume it."""
    await _suspend.run(tx, tenant_id=tenant_id, user_id=user_id, disabled_at=disabled_at)


async def remove_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> None:
    """End a membership."""
    await _remove_member.run(tx, tenant_id=tenant_id, user_id=user_id)


async def set_disabled(tx: Tx, user_id: UserId, disabled_at: datetime | None) -> None:
    """Disable an account in all organizations; `disabled_at` None: enable it."""
    await _set_disabled.run(tx, user_id=user_id, disabled_at=disabled_at)


async def export_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> list[str]:
    """Return the account of a member as a line of JSON; an empty list when they are no member."""
    found = await _export_member.all(tx, tenant_id=tenant_id, user_id=user_id)
    return [one.line for one in found]
