"""Erase a person: the account, what is open under it, and what is personal in the audit trail.

The acts, their ids and their seals stay.  What is left of the account names nobody.
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
from service.domain.sessions import Why
from service.flows.shared import export_files
from service.flows.shared.ending import close_sessions
from service.flows.shared.permissions import Permission
from service.flows.shared.reach import hold_account, require_platform, revoke_person
from service.kernel.call import Call, Operator
from service.kernel.ids import UserId
from service.kernel.refusal import Reason, Refused
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
        person = require_platform(call, Permission.ERASE_PEOPLE)
        if person.user_id == user_id:
            raise Refused(Reason.CONFLICT, "nobody erases their own account")
    async with rt.pg.decision() as tx:
        account = await hold_account(tx, user_id)
        await export_files.forget_person(
            rt, user_id
        )  # before anything: what is refused is not undone
        # Rows first, the trail after them, as in every act: an act that has recorded something
        # takes no row of the person any more, so the erasure may wait for it.
        ended = await sessions.end_all(tx, user_id, call.at, Why.DISABLED)
        await sessions.erase(tx, user_id)
        await devices.forget_others(tx, user_id, None)
        await lockouts.unlock(tx, user_id)
        await invitations.withdraw(tx, None, user_id, call.at)
        await invitations.forget(tx, users.spellings(account.email))
        keys = await apikeys.erase(tx, user_id)
        left = await users.leave_all(tx, user_id)
        await users.erase(tx, user_id, call.at)
        await seals.lock_progress(tx)  # nothing is sealed as it was while it changes
        personal = sorted(frozenset().union(*PERSONAL_KEYS.values()))
        trails = await audit.erase(tx, user_id, personal)
        await audit.record_all(tx, call, _told(user_id, trails, keys, left))
        await close_sessions(call, tx, ended, "person erased")
        await revoke_person(rt, tx, None, user_id, "person erased")
    return Erased(
        user_id=user_id,
        memberships=len(left),
        sessions=len(ended),
        api_keys=len(keys),
        trails=len(trails),
    )


async def find_person(rt: Runtime, named: str) -> UserId:
    """Return whose id or e-mail this is.  Refused(NOT_FOUND)."""
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
    """Each chain gets an event that says whose: without it, the gap would be a fault."""
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
