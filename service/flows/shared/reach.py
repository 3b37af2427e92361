"""Checks that all administrative acts share: what is within reach, and what must not be undone."""

from collections.abc import Iterable
from typing import Final

from service.domain import audit, organizations, users
from service.domain.audit import events
from service.domain.organizations import Organization
from service.domain.revocations import Kind
from service.domain.seals import PLATFORM
from service.domain.users import Account, Member
from service.flows.shared.cutoff import cut_off
from service.flows.shared.permissions import OWNER_ONLY, Permission, is_platform_admin, require
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId, UserId
from service.kernel.postgres import Decision
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

THE_PLATFORM: Final = TenantId(PLATFORM)
"""Stands for an organization in requests for things of the platform."""


def require_platform(call: Call, act: Permission) -> Person:
    """Return the calling platform administrator.  Refused(FORBIDDEN) for any other person."""
    person = require(call, act)
    if not is_platform_admin(person):
        raise Refused(Reason.FORBIDDEN, "only for platform administrators", private=act.value)
    return person


def target(person: Person, tenant_id: TenantId | None) -> TenantId:
    """Return the organization to act in: the caller's own, or another within reach.

    Refused(NOT_FOUND) when it is out of reach.
    """
    if tenant_id is None or tenant_id == person.tenant_id:
        return person.tenant_id
    if not is_platform_admin(person):
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return tenant_id


def own(call: Call, tenant_id: TenantId | None) -> TenantId | None:
    """Return the organization to act in, for things that the platform may own too (None).

    Without a named organization it is the platform for a platform administrator, and the caller's
    own organization for others.
    """
    if tenant_id is None and isinstance(call.actor, Person) and is_platform_admin(call.actor):
        return THE_PLATFORM
    return tenant_id


async def enter(tx: Tx, call: Call, tenant_id: TenantId | None, act: Permission) -> TenantId | None:
    """Return the organization to act in: the caller's own, or another within reach.

    None stands for the platform.  Refused: FORBIDDEN; NOT_FOUND for an organization that does not
    exist or is out of reach.
    """
    if tenant_id == THE_PLATFORM:
        require_platform(call, act)
        return None
    there = target(require(call, act), tenant_id)
    await find_organization(tx, there)
    return there


async def record_look(
    tx: Tx, call: Call, tenant_id: TenantId | None, act: Permission, user_id: UserId | None = None
) -> None:
    """Record that a platform administrator reads data of an organization not their own.

    Written in the transaction of the read: if it cannot be written, nothing is shown.  Acts that
    change something have events of their own, which name both organizations.
    """
    await record_looks(tx, call, [tenant_id], act, user_id)


async def record_looks(
    tx: Tx,
    call: Call,
    tenant_ids: Iterable[TenantId | None],
    act: Permission,
    user_id: UserId | None = None,
) -> None:
    """Do the same for several organizations, with an event in each, in one round trip."""
    actor = call.actor
    if isinstance(actor, Person):
        looked = [
            events.Crossed(tenant_id=tenant_id, user_id=user_id, act=act.value)
            for tenant_id in tenant_ids
            if actor.crosses(tenant_id)
        ]
        await audit.record_all(tx, call, looked)


async def find_organization(tx: Tx, tenant_id: TenantId) -> Organization:
    """Return an organization.  Refused(NOT_FOUND)."""
    found = await organizations.find(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def lock_organization(tx: Tx, tenant_id: TenantId) -> Organization:
    """Lock an organization, so that its owners cannot change.  Refused(NOT_FOUND)."""
    found = await organizations.lock(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def lock_out(tx: Tx, tenant_id: TenantId) -> Organization:
    """Lock an organization, so that nobody can open a session there.  Refused(NOT_FOUND)."""
    found = await organizations.lock_out(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def hold_organization(tx: Tx, person: Person, tenant_id: TenantId) -> Organization:
    """Lock an organization to change its memberships, and check the caller's role again.

    Refused: NOT_FOUND; UNAUTHENTICATED when the caller's token is out of date.
    """
    found = await lock_organization(tx, tenant_id)
    await refuse_outdated(tx, person)
    return found


async def hold_oneself(tx: Tx, person: Person) -> None:
    """Lock the caller, who creates something that depends on their membership; check their role.

    Refused(UNAUTHENTICATED) when their token is out of date.
    """
    await users.lock(tx, person.user_id)
    await refuse_outdated(tx, person)


async def refuse_outdated(tx: Tx, person: Person) -> None:
    """Refuse a caller who may no longer act or has another role by now: UNAUTHENTICATED.

    The caller may have waited for the lock of a transaction that took their role away.  Nothing may
    be created afterwards that the loss of the role should have ended.
    """
    now = await users.find_member(tx, person.tenant_id, person.user_id)
    if now is None or not now.acts() or now.roles() != person.roles:
        raise Refused(Reason.UNAUTHENTICATED, private="another role than the token's")


async def find_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> Member:
    """Return a member.  Refused(NOT_FOUND), also for a person who is not a member."""
    found = await users.find_member(tx, tenant_id, user_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    return found


async def refuse_last_owner(tx: Tx, tenant_id: TenantId, member: Member) -> None:
    """Refuse to remove the last owner who can act: CONFLICT.  The organization is locked."""
    if member.owns() and await users.count_owners(tx, tenant_id) == 1:
        raise Refused(Reason.CONFLICT, "an organization keeps at least one owner")


async def refuse_last_way_in(
    tx: Tx, user_id: UserId | None = None, tenant_id: TenantId | None = None
) -> None:
    """Refuse to close this if no platform administrator could sign in afterwards: CONFLICT.

    "This" is a person, an organization, or with both given the membership.  The caller has locked
    them.  Two such acts at the same time wait for each other, so that both cannot succeed.
    """
    await users.hold_platform(tx)
    if await users.is_last_way_in(tx, user_id, tenant_id):
        raise Refused(
            Reason.CONFLICT, "the platform keeps at least one administrator who can sign in"
        )


def refuse_above(person: Person, *roles: str) -> None:
    """Refuse acts on owners unless the caller is an owner: FORBIDDEN.

    `roles` are the roles of the person concerned, before and after the act.
    """
    if OWNER_ONLY & set(roles) and "owner" not in person.roles and not is_platform_admin(person):
        raise Refused(Reason.FORBIDDEN, "only an owner may do this to an owner")


async def hold_account(tx: Tx, user_id: UserId) -> Account:
    """Lock a person whose account is to be closed, and every organization they are a member of.

    Refused: NOT_FOUND; CONFLICT for a last owner, for a person who has just become an owner, and
    for the last platform administrator who can sign in.
    """
    held = await users.list_joined(tx, user_id)
    for tenant_id in held:
        await lock_organization(tx, tenant_id)
    account = await users.lock(tx, user_id)
    if account is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    # From here on, nobody can make them a member or an owner.
    for tenant_id in await users.list_owned(tx, user_id):
        if tenant_id not in held:
            raise Refused(Reason.CONFLICT, "they have just become an owner: try again")
        await refuse_last_owner(tx, tenant_id, await find_member(tx, tenant_id, user_id))
    if account.platform_admin:
        await refuse_last_way_in(tx, user_id)
    return account


async def revoke_person(
    rt: Runtime, tx: Decision, tenant_id: TenantId | None, user_id: UserId, reason: str
) -> None:
    """Kill what they hold, and what they are granted until this commits: see `shared.cutoff`.

    In one organization, or (None) everywhere.
    """
    await cut_off(rt, tx, Kind.SUB, str(user_id), tenant_id, reason)
