"""Erase a person: the account, what is open under it, and what is personal in the audit trail.

The acts, their ids and their seals stay.  What is left of the account names nobody.
"""

from uuid import UUID

from msgspec import Struct

from service.domain import (
    apikeys,
    audit,
    devices,
    invitations,
    lockouts,
    seals,
    sessions,
    users,
)
from service.domain.audit import events
from service.domain.seals import PERSONAL_KEYS
from service.domain.sessions import Why
from service.domain.users import Account
from service.flows.access.cutoff import announce
from service.flows.access.ending import close_sessions
from service.flows.admin import exported
from service.flows.admin.reach import hold_account, require_platform, revoke_person
from service.flows.authority import Act
from service.kernel.call import Call, Operator
from service.kernel.ids import UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


class Erased(Struct, frozen=True, kw_only=True):
    """Whom, and how much there was."""

    user_id: UserId
    memberships: int
    sessions: int
    api_keys: int
    trails: int
    """Chains of events that something was taken from."""


async def erase_person(rt: Runtime, call: Call, user_id: UserId) -> Erased:
    """Erase; for the operator and platform administrators, as an account belongs to no one place.

    Tokens die everywhere within a second.  May be repeated: what came in meanwhile goes as well.
    Refused: FORBIDDEN; NOT_FOUND; CONFLICT for oneself, for the last owner of an organization, and
    when a file of what was exported of them does not go.
    """
    if not isinstance(call.actor, Operator):
        person = require_platform(call, Act.ERASE_PEOPLE)
        if person.user_id == user_id:
            raise Refused(Reason.CONFLICT, "nobody erases their own account")
    async with rt.pg.decision() as tx:
        account = await hold_account(tx, user_id)
        await exported.forget_person(rt, user_id)  # before anything: what is refused is not undone
        await seals.lock_progress(tx)  # nothing is sealed as it was while it changes
        trails = await _erase_trails(tx, call, user_id)
        ended = await sessions.end_all(tx, user_id, call.at, Why.DISABLED)
        await sessions.erase(tx, user_id)
        await devices.forget_others(tx, user_id, None)
        await lockouts.unlock(tx, user_id)
        await invitations.withdraw(tx, None, user_id, call.at)
        await invitations.forget(tx, users.spellings(account.email))
        keys = await _erase_keys(tx, call, user_id)
        memberships = await _leave(tx, call, account)
        await users.erase(tx, user_id, call.at)
        await audit.record(tx, call, events.UserErased(user_id=user_id))
        entries = await close_sessions(call, tx, ended, "person erased")
        entries += await revoke_person(rt, tx, None, user_id, "person erased")
    await announce(rt, entries)
    return Erased(
        user_id=user_id,
        memberships=memberships,
        sessions=len(ended),
        api_keys=keys,
        trails=trails,
    )


async def find_person(rt: Runtime, named: str) -> UserId:
    """Return whose id or e-mail this is.  Refused(NOT_FOUND)."""
    try:
        return UserId(UUID(named))
    except ValueError:
        name = users.login_name(named)
    async with rt.pg.reading() as tx:
        found = await users.find_by_email(tx, name.spellings)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    return found.user_id


async def _leave(tx: Tx, call: Call, account: Account) -> int:
    left = await users.leave_all(tx, account.user_id)
    for one in left:
        ended = events.MembershipEnded(
            tenant_id=one.tenant_id, user_id=account.user_id, role=one.role
        )
        await audit.record(tx, call, ended)
    return len(left)


async def _erase_keys(tx: Tx, call: Call, user_id: UserId) -> int:
    gone = await apikeys.erase(tx, user_id)
    for one in gone:
        deleted = events.ApiKeyDeleted(
            tenant_id=one.tenant_id, user_id=user_id, key_id=one.key_id, prefix=one.prefix
        )
        await audit.record(tx, call, deleted)
    return len(gone)


async def _erase_trails(tx: Tx, call: Call, user_id: UserId) -> int:
    """Each chain gets an event that says whose: without it, the gap would be a fault."""
    keys = sorted(frozenset().union(*PERSONAL_KEYS.values()))
    concerned = await audit.erase(tx, user_id, keys)
    for chain_id in concerned:
        erased = events.TrailErased(tenant_id=seals.tenant_of(chain_id), user_id=user_id)
        await audit.record(tx, call, erased)
    return len(concerned)
