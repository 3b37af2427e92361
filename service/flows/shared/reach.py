"""The shared start of administration: what an administrator reaches, and what they may not undo."""

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
"""Asked for like an organization: what belongs to none, for platform administrators."""


def require_platform(call: Call, act: Permission) -> Person:
    """Return the platform administrator.  Refused(FORBIDDEN) for administrators of one place."""
    person = require(call, act)
    if not is_platform_admin(person):
        raise Refused(Reason.FORBIDDEN, "only for platform administrators", private=act.value)
    return person


def target(person: Person, tenant_id: TenantId | None) -> TenantId:
    """Return the organization acted in: one's own, or as a platform administrator another.

    Refused(NOT_FOUND) when it is out of reach.
    """
    if tenant_id is None or tenant_id == person.tenant_id:
        return person.tenant_id
    if not is_platform_admin(person):
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return tenant_id


def own(call: Call, tenant_id: TenantId | None) -> TenantId | None:
    """Return whose things are meant, of a kind that may be the platform's, when none is named.

    A platform administrator's own are the platform's, everybody else's their organization's.
    """
    if tenant_id is None and isinstance(call.actor, Person) and is_platform_admin(call.actor):
        return THE_PLATFORM
    return tenant_id


async def enter(tx: Tx, call: Call, tenant_id: TenantId | None, act: Permission) -> TenantId | None:
    """Return the organization that is meant: one's own, or another within reach; None: no one's.

    Refused: FORBIDDEN; NOT_FOUND for an organization that is out of reach or is none.
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
    """Record that a platform administrator looks into another's organization.

    In the transaction of the look: when it cannot be written, nothing is shown.  Whatever changes
    something has an event of its own, which names both organizations.
    """
    await record_looks(tx, call, [tenant_id], act, user_id)


async def record_looks(
    tx: Tx,
    call: Call,
    tenant_ids: Iterable[TenantId | None],
    act: Permission,
    user_id: UserId | None = None,
) -> None:
    """The same for several organizations, an event in each, in one round trip."""
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
    """Hold an organization: who owns it does not change meanwhile.  Refused(NOT_FOUND)."""
    found = await organizations.lock(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def lock_out(tx: Tx, tenant_id: TenantId) -> Organization:
    """Hold an organization that is to be closed: nobody opens a session.  Refused(NOT_FOUND)."""
    found = await organizations.lock_out(tx, tenant_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return found


async def hold_organization(tx: Tx, person: Person, tenant_id: TenantId) -> Organization:
    """Hold an organization for whoever changes who is what in it, and look at them again.

    Refused: NOT_FOUND; UNAUTHENTICATED when their token is out of date.
    """
    found = await lock_organization(tx, tenant_id)
    await refuse_outdated(tx, person)
    return found


async def hold_oneself(tx: Tx, person: Person) -> None:
    """Hold the person who makes something that falls with their membership, and look again.

    Refused(UNAUTHENTICATED) when their token is out of date.
    """
    await users.lock(tx, person.user_id)
    await refuse_outdated(tx, person)


async def refuse_outdated(tx: Tx, person: Person) -> None:
    """Refuse who may not act any more, or is something else by now; UNAUTHENTICATED.

    They may have waited for who takes their role away: nothing may be made that the loss of the
    role should have ended.
    """
    now = await users.find_member(tx, person.tenant_id, person.user_id)
    if now is None or not now.acts() or now.roles() != person.roles:
        raise Refused(Reason.UNAUTHENTICATED, private="another role than the token's")


async def find_member(tx: Tx, tenant_id: TenantId, user_id: UserId) -> Member:
    """Return a member.  Refused(NOT_FOUND) for a stranger as for nobody."""
    found = await users.find_member(tx, tenant_id, user_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    return found


async def refuse_last_owner(tx: Tx, tenant_id: TenantId, member: Member) -> None:
    """Refuse to take the last owner who can act away; the caller holds the organization."""
    if member.owns() and await users.count_owners(tx, tenant_id) == 1:
        raise Refused(Reason.CONFLICT, "an organization keeps at least one owner")


async def refuse_last_way_in(
    tx: Tx, user_id: UserId | None = None, tenant_id: TenantId | None = None
) -> None:
    """Refuse what leaves no platform administrator who can sign in; CONFLICT.

    Closing a person, an organization, or with both that membership.  The caller holds them.  Of two
    who each take the last but one away the second waits for the first.
    """
    await users.hold_platform(tx)
    if await users.is_last_way_in(tx, user_id, tenant_id):
        raise Refused(
            Reason.CONFLICT, "the platform keeps at least one administrator who can sign in"
        )


def refuse_above(person: Person, *roles: str) -> None:
    """Refuse who is no owner what concerns owners: to make, change, remove or sign out one."""
    if OWNER_ONLY & set(roles) and "owner" not in person.roles and not is_platform_admin(person):
        raise Refused(Reason.FORBIDDEN, "only an owner may do this to an owner")


async def hold_account(tx: Tx, user_id: UserId) -> Account:
    """Hold a person who is to be closed everywhere, and every organization they are in.

    Refused: NOT_FOUND; CONFLICT for a last owner, for who became an owner elsewhere meanwhile, and
    for the last platform administrator who can sign in.
    """
    held = await users.list_joined(tx, user_id)
    for tenant_id in held:
        await lock_organization(tx, tenant_id)
    account = await users.lock(tx, user_id)
    if account is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    # Only now does nobody make them a member or an owner any more.
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
