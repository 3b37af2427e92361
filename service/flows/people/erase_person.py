"""Erase a person: the account, all access, and the personal fields in the audit trail.

The events, their ids and their seals stay.  The rest of the account names nobody.
"""

from collections.abc import Sequence
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
from service.domain.audit import Event, events
from service.domain.seals import PERSONAL_KEYS
from service.flows.shared import export_files
from service.flows.shared.ending import Cause, OfPerson, close, take
from service.flows.shared.permissions import Permission
from service.flows.shared.reach import (
    hold_account,
    refuse_account_above,
    require_platform,
    revoke_person,
)
from service.kernel.call import Call, Machine, Operator, Person
from service.kernel.ids import UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


class Erased(Struct, frozen=True, kw_only=True):
    """The erased person, and how much was removed."""

    user_id: UserId
    memberships: int
    sessions: int
    api_keys: int
    trails: int
    """How many chains of events lost personal fields."""


async def erase_person(rt: Runtime, call: Call, user_id: UserId) -> Erased:
    """Erase a person.  For the operator and platform administrators.

    Their tokens are refused everywhere within a second.  It may be repeated, to erase what was
    recorded meanwhile.  Refused: FORBIDDEN; NOT_FOUND; CONFLICT for oneself, for the last owner of
    an organization, and when an export file of their data cannot be deleted.
    """
    if not isinstance(call.actor, Operator):
        administrator = require_platform(call, Permission.ERASE_PEOPLE)
        if isinstance(administrator, Person) and administrator.user_id == user_id:
            raise Refused(Reason.CONFLICT, "you cannot erase your own account")
    async with rt.pg.decision() as tx:
        account = await hold_account(tx, user_id)
        if isinstance(call.actor, Machine):
            await refuse_account_above(tx, call.actor, user_id)
        await export_files.forget_person(
            rt, user_id
        )  # first, because a refusal does not undo what was written
        # Lock rows first and the trail afterwards, as every act does.  An act that has recorded an
        # event locks no more rows of the person, so the erasure may wait for it.
        ended = await take(call, tx, OfPerson(user_id), Cause.PERSON_ERASED)
        await sessions.erase(tx, user_id)
        await devices.forget_others(tx, user_id, None)
        await lockouts.unlock(tx, user_id)
        await invitations.withdraw(tx, None, user_id, call.at)
        await invitations.forget(tx, users.spellings(account.email))
        keys = await apikeys.erase(tx, user_id)
        left = await users.leave_all(tx, user_id)
        await users.erase(tx, user_id, call.at)
        await seals.lock_progress(tx)  # no event is sealed while it changes
        personal = sorted(frozenset().union(*PERSONAL_KEYS.values()))
        trails = await audit.erase(tx, user_id, personal)
        told = _told(user_id, trails, keys, left)
        await close(call, tx, ended, Cause.PERSON_ERASED, told)
        await revoke_person(rt, tx, None, user_id, "person erased")
    return Erased(
        user_id=user_id,
        memberships=len(left),
        sessions=len(ended),
        api_keys=len(keys),
        trails=len(trails),
    )


async def find_person(rt: Runtime, named: str) -> UserId:
    """Return the person with this id or e-mail.  Refused(NOT_FOUND)."""
    try:
        return UserId(UUID(named))
    except ValueError:
        name = users.login_name(named)
    async with rt.pg.reading() as tx:
        found = await users.find_by_email(tx, (*name.spellings, named.strip()))
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such person")
    return found.user_id


def _told(
    user_id: UserId,
    trails: Sequence[UUID],
    keys: Sequence[apikeys.Erased],
    left: Sequence[users.Left],
) -> list[Event]:
    """Return the events to record.  Each changed chain gets one: verification needs the reason."""
    return [
        *(
            events.TrailErased(tenant_id=seals.tenant_of(chain_id), user_id=user_id)
            for chain_id in trails
        ),
        *(
            events.ApiKeyDeleted(
                tenant_id=one.tenant_id, user_id=user_id, key_id=one.key_id, prefix=one.prefix
            )
            for one in keys
        ),
        *(
            events.MembershipEnded(tenant_id=one.tenant_id, user_id=user_id, role=one.role)
            for one in left
        ),
        events.UserErased(user_id=user_id),
    ]
