"""An administrator revokes tokens."""

from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from service.domain import (
    apikeys,
    audit,
    clients,
    organizations,
    revocations,
    sessions,
    users,
)
from service.domain.audit import events
from service.domain.revocations import Kind, Revocation
from service.flows.shared.ending import LASTS, Cause, One, end
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.permissions import (
    Administrator,
    Permission,
    is_of_platform,
    reach,
    reaches,
    require,
)
from service.flows.shared.reach import find_member, refuse_above, refuse_account_above, target
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

NEEDS = {
    Kind.SID: Permission.END_SESSIONS,
    Kind.AKID: Permission.WRITE_ALL_API_KEYS,
    Kind.TENANT_ID: Permission.END_ORGANIZATION_SESSIONS,
}
"""The permission that a kind needs as well, since what it names also ends, or all of it at once."""


class ToRevoke(Struct, frozen=True):
    """What to revoke.  `tenant_id`: revoke a person (`sub`) in this organization only."""

    kind: Kind
    value: str
    reason: str
    tenant_id: TenantId | None = None

    def canonical(self) -> "ToRevoke":
        """Return it with the id in the spelling used in tokens, since verifiers compare bytes."""
        try:
            return replace(self, value=str(UUID(self.value)))
        except ValueError:
            return self


async def revoke_by_hand(rt: Runtime, call: Call, asked: ToRevoke) -> Revocation:
    """Revoke.  A session or an API key is also ended; other kinds only affect tokens.

    Administrators of an organization may revoke its sessions, keys and clients, its members in it,
    and the whole organization.  Only platform administrators may revoke a person in all
    organizations, or a single token.  A session, a key and an organization need the permission to
    end them as well.  Refused(NOT_FOUND), with nothing changed, for an object that is out of reach
    or does not exist.  Refused(FORBIDDEN) for an owner's, unless the caller is one.
    """
    administrator = require(call, Permission.REVOKE)
    if asked.kind in NEEDS:
        require(call, NEEDS[asked.kind])
    asked = asked.canonical()
    async with rt.pg.decision() as tx:
        made = await find_made(rt, tx, call)
        if made is not None:
            return await _find(tx, int(made))
        tenant_id = await _reachable(tx, administrator, asked)
        revoked = events.Revoked(
            tenant_id=tenant_id, kind=asked.kind.value, value=asked.value, reason=asked.reason
        )
        entries: list[Revocation] = []
        session = await _find_session(tx, administrator, asked)
        if session is not None:
            entries = await end(
                call, tx, session, Cause.ENDED_BY_ADMIN, told=[revoked], reason=asked.reason
            )
        else:
            if asked.kind is Kind.AKID:
                await apikeys.revoke(tx, ApiKeyId(UUID(asked.value)), call.at)
            await audit.record(tx, call, revoked)
        if not entries:  # no session, or one that had ended
            at = rt.clock.now()  # what was issued while the call waited is meant too
            entries = await revocations.revoke(
                tx,
                asked.kind,
                [asked.value],
                tenant_id=tenant_id,
                reason=asked.reason,
                at=at,
                expires_at=at + LASTS,
            )
        (entry,) = entries
        await keep_made(rt, tx, call, entry.seq)
    return entry


async def _find_session(tx: Tx, administrator: Administrator, asked: ToRevoke) -> One | None:
    """Return the session that is to be ended.  Refused(FORBIDDEN) for an owner's."""
    if asked.kind is not Kind.SID:
        return None
    session = await sessions.find(tx, SessionId(UUID(asked.value)))
    if session is None:
        return None
    member = await users.find_member(tx, session.tenant_id, session.user_id)
    refuse_above(administrator, *([member.role] if member else []))
    return One(session.user_id, session.session_id)


async def _find(tx: Tx, seq: int) -> Revocation:
    found = await revocations.find(tx, seq)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "this revocation is over")
    return found


async def _reachable(tx: Tx, administrator: Administrator, asked: ToRevoke) -> TenantId | None:
    """Return the object's organization; None: the platform.  Refused(NOT_FOUND) out of reach."""
    if asked.kind is Kind.KID:
        raise Refused(
            Reason.INVALID_REQUEST, "a signing key is killed, not revoked", fields=("kind",)
        )
    if asked.tenant_id is not None:
        return await _reach_member(tx, administrator, asked.tenant_id, asked)
    exists, owner = await _find_owner(tx, administrator, asked)
    within = is_of_platform(administrator) if owner is None else reaches(administrator, owner)
    if not (exists and within):
        raise Refused(Reason.NOT_FOUND, "no such object", fields=("value",))
    if asked.kind is Kind.SUB:
        await refuse_account_above(tx, administrator, UserId(_id(asked.value)))
    return owner


async def _reach_member(
    tx: Tx, administrator: Administrator, tenant_id: TenantId, asked: ToRevoke
) -> TenantId:
    if asked.kind is not Kind.SUB:
        raise Refused(Reason.INVALID_REQUEST, "only for a person: kind sub", fields=("tenant_id",))
    there = target(administrator, tenant_id)
    member = await find_member(tx, there, UserId(_id(asked.value)))
    refuse_above(administrator, member.role)
    return there


async def _find_owner(
    tx: Tx, administrator: Administrator, asked: ToRevoke
) -> tuple[bool, TenantId | None]:
    match asked.kind:
        case Kind.SID:
            session = await sessions.find(tx, SessionId(_id(asked.value)))
            return session is not None, session.tenant_id if session else None
        case Kind.CLIENT_ID:
            client = await clients.find(tx, asked.value)
            return client is not None, client.tenant_id if client else None
        case Kind.AKID:
            key = await apikeys.lock(tx, ApiKeyId(_id(asked.value)), reach(administrator))
            return key is not None, key.tenant_id if key else None
        case Kind.TENANT_ID:
            tenant_id = TenantId(_id(asked.value))
            return await organizations.find(tx, tenant_id) is not None, tenant_id
        case Kind.SUB:
            return await users.find(tx, UserId(_id(asked.value))) is not None, None
        case _:
            return True, None  # tokens are not stored, so their owner is unknown


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused(Reason.NOT_FOUND, "no such object", fields=("value",)) from None
