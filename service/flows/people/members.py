"""Administrators manage members: list, change role, suspend, remove, unlock.

An administrator of an organization suspends a *membership*, because the person may be a member of
other organizations.  A platform administrator disables the account.
"""

from uuid import UUID

from service.domain import apikeys, audit, invitations, lockouts, users
from service.domain.audit import events
from service.domain.users import Member, Role
from service.flows.shared import limiting
from service.flows.shared.ending import Cause, OfPerson, close_keys, end
from service.flows.shared.permissions import Administrator, Permission, require
from service.flows.shared.reach import (
    THE_PLATFORM,
    find_member,
    find_organization,
    hold_account,
    hold_organization,
    own,
    record_look,
    refuse_above,
    refuse_account_above,
    refuse_giving,
    refuse_giving_back,
    refuse_last_owner,
    refuse_last_way_in,
    require_platform,
    revoke_person,
    target,
)
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


async def list_members(
    rt: Runtime, call: Call, tenant_id: TenantId | None, after: UUID | None, most: int
) -> list[Member]:
    """Return a page of an organization's members, suspended ones too."""
    administrator = require(call, Permission.READ_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        await find_organization(tx, there)
        await record_look(tx, call, there, Permission.READ_PEOPLE)
        return await users.list_members(tx, there, after, most)


async def read_member(
    rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId
) -> Member:
    """Return a member.  Refused(NOT_FOUND)."""
    administrator = require(call, Permission.READ_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        found = await find_member(tx, there, user_id)
        await record_look(tx, call, there, Permission.READ_PEOPLE, user_id)
    return found


async def change_role(
    rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId, role: Role
) -> Member:
    """Give a member another role.  Their tokens here are revoked; sessions go on by a refresh.

    Tokens of other organizations stay valid.  The role that they already have changes nothing.
    Refused: FORBIDDEN when the caller is no owner and the old or new role is owner; CONFLICT for
    the last owner.
    """
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        member = await _hold_member(tx, administrator, there, user_id)
        refuse_giving(administrator, role, "role")
        if role != "owner":
            await refuse_last_owner(tx, there, member)
        if role == member.role:
            return member
        await users.change_role(tx, there, user_id, role)
        if role != "owner":
            await invitations.withdraw(tx, there, user_id, call.at)
        changed = events.RoleChanged(
            tenant_id=there, user_id=user_id, before=member.role, after=role
        )
        await audit.record(tx, call, changed)
        after = await find_member(tx, there, user_id)
        await revoke_person(rt, tx, there, user_id, "role changed")
    return after


async def disable(rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId) -> None:
    """Suspend a membership; a platform administrator disables the account in all organizations.

    The person's sessions end and their tokens are refused within a second, in the organization or
    in all.  Refused(CONFLICT) for the last owner, and for the last platform administrator who can
    sign in.
    """
    if own(call, tenant_id) == THE_PLATFORM:
        await _disable_account(rt, call, user_id)
        return
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        await _hold_dispensable(tx, administrator, there, user_id)
        await users.suspend(tx, there, user_id, call.at)
        suspended = events.MembershipSuspended(tenant_id=there, user_id=user_id)
        await invitations.withdraw(tx, there, user_id, call.at)
        here = OfPerson(user_id, there)
        await end(call, tx, here, Cause.MEMBERSHIP_SUSPENDED, told=[suspended])
        if await apikeys.list_page(tx, there, user_id, None, 1):
            # also ends cached API keys of theirs, and tokens that these were exchanged for
            await revoke_person(rt, tx, there, user_id, "membership suspended")


async def enable(rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId) -> None:
    """Resume a membership; a platform administrator enables the account.

    Refused: NOT_FOUND; FORBIDDEN for an owner, unless the caller is one.  A machine needs the
    scopes of the role, as for an invitation.
    """
    if own(call, tenant_id) == THE_PLATFORM:
        await _enable_account(rt, call, user_id)
        return
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        member = await _hold_member(tx, administrator, there, user_id)
        refuse_giving_back(administrator, member)
        await users.suspend(tx, there, user_id, None)
        resumed = events.MembershipResumed(tenant_id=there, user_id=user_id)
        await audit.record(tx, call, resumed)


async def remove(rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId) -> None:
    """End a membership, with its sessions, API keys, and invitations from and to the person.

    This cannot be undone: a person who is invited again starts without them.  Refused: NOT_FOUND;
    CONFLICT for the last owner, and for the last platform administrator who can sign in.
    """
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    async with rt.pg.decision() as tx:
        member = await _hold_dispensable(tx, administrator, there, user_id)
        await users.remove_member(tx, there, user_id)
        await invitations.withdraw_to(tx, there, users.spellings(member.email), call.at)
        keys = await apikeys.revoke_own(tx, there, user_id, call.at)
        revoked = [
            events.ApiKeyRevoked(
                tenant_id=there, user_id=user_id, key_id=one.key_id, prefix=one.prefix
            )
            for one in keys
        ]
        removed = events.MembershipEnded(tenant_id=there, user_id=user_id, role=member.role)
        await invitations.withdraw(tx, there, user_id, call.at)
        here = OfPerson(user_id, there)
        await end(call, tx, here, Cause.MEMBERSHIP_ENDED, told=[*revoked, removed])
        key_ids = [one.key_id for one in keys]
        await close_keys(tx, call.at, key_ids, there, "membership ended")


async def unlock(rt: Runtime, call: Call, tenant_id: TenantId | None, user_id: UserId) -> None:
    """Lift the lockout of an account, for every device.

    Limited, because each time allows some more guesses at a password for all organizations.
    Refused: NOT_FOUND; FORBIDDEN for an owner's account, unless the caller is an owner; TOO_MANY.
    """
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    await limiting.spend(rt, "unlock", rt.policy.limits.unlock, f"{there}:{user_id}")
    async with rt.pg.decision() as tx:
        member = await find_member(tx, there, user_id)
        refuse_above(administrator, member.role)
        await lockouts.unlock(tx, user_id)
        await audit.record(tx, call, events.Unlocked(tenant_id=there, user_id=user_id))


async def _hold_member(
    tx: Tx, administrator: Administrator, tenant_id: TenantId, user_id: UserId
) -> Member:
    """Lock the organization, then the person: the lock order.  Return the member."""
    await hold_organization(tx, administrator, tenant_id)
    await users.lock_member(tx, tenant_id, user_id)
    member = await find_member(tx, tenant_id, user_id)
    refuse_above(administrator, member.role)
    return member


async def _hold_dispensable(
    tx: Tx, administrator: Administrator, tenant_id: TenantId, user_id: UserId
) -> Member:
    """Lock a member whom the organization and the platform can do without, and return them.

    Refused(CONFLICT) for the last owner, and for the last platform administrator who can sign in.
    """
    member = await _hold_member(tx, administrator, tenant_id, user_id)
    await refuse_last_owner(tx, tenant_id, member)
    if member.platform_admin:
        await refuse_last_way_in(tx, user_id, tenant_id)
    return member


async def _disable_account(rt: Runtime, call: Call, user_id: UserId) -> None:
    administrator = require_platform(call, Permission.DISABLE_ACCOUNTS)
    async with rt.pg.decision() as tx:
        await hold_account(tx, user_id)
        await refuse_account_above(tx, administrator, user_id)
        if isinstance(administrator, Person) and user_id == administrator.user_id:
            raise Refused(Reason.CONFLICT, "you cannot disable your own account")
        await users.set_disabled(tx, user_id, call.at)
        await invitations.withdraw(tx, None, user_id, call.at)
        disabled = events.UserDisabled(user_id=user_id)
        await end(call, tx, OfPerson(user_id), Cause.ACCOUNT_DISABLED, told=[disabled])
        await revoke_person(rt, tx, None, user_id, "account disabled")


async def _enable_account(rt: Runtime, call: Call, user_id: UserId) -> None:
    administrator = require_platform(call, Permission.DISABLE_ACCOUNTS)
    async with rt.pg.decision() as tx:
        account = await users.lock(tx, user_id)
        if account is None:
            raise Refused(Reason.NOT_FOUND, "no such person")
        await refuse_account_above(tx, administrator, user_id)
        if account.erased_at is not None:
            raise Refused(Reason.CONFLICT, "this person was erased")
        for joined in await users.list_joined(tx, user_id):
            refuse_giving_back(administrator, await find_member(tx, joined, user_id))
        await users.set_disabled(tx, user_id, None)
        await audit.record(tx, call, events.UserEnabled(user_id=user_id))
