"""Checks that all administrative acts share: what is within reach, and what must not be undone."""

from collections.abc import Iterable
from typing import Final

from service.domain import audit, clients, organizations, users
from service.domain.audit import events
from service.domain.organizations import Organization
from service.domain.revocations import Kind
from service.domain.seals import PLATFORM
from service.domain.users import Account, Member
from service.flows.shared.cutoff import cut_off
from service.flows.shared.permissions import (
    OWNER_ONLY,
    ROLES,
    Administrator,
    Permission,
    is_of_platform,
    is_platform_admin,
    management_scope,
    may,
    require,
)
from service.kernel.call import Call, Machine, Person
from service.kernel.ids import TenantId, UserId
from service.kernel.postgres import Decision
from service.kernel.refusal import Fault, Reason, Refused, faulty
from service.kernel.sql import Tx
from service.runtime import Runtime

THE_PLATFORM: Final = TenantId(PLATFORM)
"""Stands for an organization in requests for things of the platform."""


def require_platform(call: Call, act: Permission) -> Administrator:
    """Return the calling platform administrator or platform client.

    Refused(FORBIDDEN) for an administrator of one organization.
    """
    administrator = require(call, act)
    if not is_of_platform(administrator):
        raise Refused(Reason.FORBIDDEN, "only for platform administrators", private=act.value)
    return administrator


def target(administrator: Administrator, tenant_id: TenantId | None) -> TenantId:
    """Return the organization to act in: the caller's own, or another within reach.

    Refused: NOT_FOUND when it is out of reach; INVALID_REQUEST when a platform client names none.
    """
    if tenant_id is None or tenant_id == administrator.tenant_id:
        return home(administrator)
    if not is_of_platform(administrator):
        raise Refused(Reason.NOT_FOUND, "no such organization")
    return tenant_id


def home(administrator: Administrator) -> TenantId:
    """Return the caller's own organization.

    Refused(INVALID_REQUEST) for a platform client, which has none.
    """
    if administrator.tenant_id is None:
        told = "must name an organization: this client belongs to none"
        raise faulty((Fault("tenant_id", told),))
    return administrator.tenant_id


def own(call: Call, tenant_id: TenantId | None) -> TenantId | None:
    """Return the organization to act in, for things that the platform may own too (None).

    Without a named organization it is the platform for a platform administrator, and the caller's
    own organization for others.
    """
    actor = call.actor
    if tenant_id is None and isinstance(actor, (Person, Machine)) and is_of_platform(actor):
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
    """Record that the caller, who is of the platform, reads data of another organization.

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
    if isinstance(actor, (Person, Machine)):
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


async def hold_organization(
    tx: Tx, administrator: Administrator, tenant_id: TenantId
) -> Organization:
    """Lock an organization to change its memberships, and check the caller's role again.

    Refused: NOT_FOUND; UNAUTHENTICATED when the caller's token is out of date.
    """
    found = await lock_organization(tx, tenant_id)
    await refuse_outdated(tx, administrator)
    return found


async def hold_oneself(tx: Tx, administrator: Administrator) -> None:
    """Lock the caller, who creates something that depends on their membership; check their role.

    Refused(UNAUTHENTICATED) when their token is out of date.
    """
    if isinstance(administrator, Machine):
        await clients.lock(tx, administrator.client_id, administrator.tenant_id)
    else:
        await users.lock(tx, administrator.user_id)
    await refuse_outdated(tx, administrator)


async def refuse_outdated(tx: Tx, administrator: Administrator) -> None:
    """Refuse a caller who may no longer act or has another role by now: UNAUTHENTICATED.

    The caller may have waited for the lock of a transaction that took their role away.  Nothing may
    be created afterwards that the loss of the role should have ended.
    """
    if isinstance(administrator, Machine):
        client = await clients.find_enabled(tx, administrator.client_id)
        if client is None or not set(administrator.scopes) <= set(client.scopes):
            raise Refused(Reason.UNAUTHENTICATED, private="fewer scopes than the token's")
        return
    now = await users.find_member(tx, administrator.tenant_id, administrator.user_id)
    if now is None or not now.acts() or now.roles() != administrator.roles:
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


def refuse_above(administrator: Administrator, *roles: str) -> None:
    """Refuse acts on owners unless the caller is an owner: FORBIDDEN.  A machine never is one.

    `roles` are the roles of the person concerned, before and after the act.
    """
    if not OWNER_ONLY & set(roles) or is_platform_admin(administrator):
        return
    if isinstance(administrator, Machine) or "owner" not in administrator.roles:
        raise Refused(Reason.FORBIDDEN, "only an owner may do this to an owner")


def refuse_giving(administrator: Administrator, role: str, *fields: str) -> None:
    """Refuse to give a person a role that may do more than the caller: FORBIDDEN.

    Only owners make owners.  A machine needs the management scopes of the role, beyond what every
    member may do: otherwise it could get by an accomplice what it was not granted.  `fields` name
    the role in the request.
    """
    refuse_above(administrator, role)
    if isinstance(administrator, Machine):
        of_role = (one for one, roles in ROLES.items() if role in roles and "member" not in roles)
        missing = sorted({management_scope(one) for one in of_role if not may(administrator, one)})
        if missing:
            told = f"for the role {role} a machine needs the scopes {' '.join(missing)} as well"
            raise Refused(Reason.FORBIDDEN, told, fields=fields)


def refuse_giving_back(administrator: Administrator, member: Member) -> None:
    """Refuse to let a member act again who may do more than the caller: FORBIDDEN."""
    refuse_giving(administrator, member.role)
    if isinstance(administrator, Machine) and member.platform_admin:
        raise Refused(Reason.FORBIDDEN, "no machine may do this to a platform administrator")


async def refuse_account_above(tx: Tx, administrator: Administrator, user_id: UserId) -> None:
    """Refuse a machine's act on the whole account of an owner or a platform administrator.

    FORBIDDEN.  The caller has locked the person.
    """
    if is_platform_admin(administrator):
        return
    account = await users.find(tx, user_id)
    if account is None:
        return
    if account.platform_admin or await users.list_owned(tx, user_id):
        raise Refused(
            Reason.FORBIDDEN,
            "only a platform administrator may do this to an owner or a platform administrator",
        )


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
    """Revoke all tokens of a person that are issued until this commits: see `shared.cutoff`.

    In one organization, or (None) everywhere.
    """
    await cut_off(rt, tx, Kind.SUB, str(user_id), tenant_id, reason)
