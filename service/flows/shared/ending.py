"""End sessions and API keys, and revoke all tokens that were issued for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

from msgspec import Struct

from service.domain import audit, families, revocations, sessions
from service.domain.audit import Event, events
from service.domain.families import Status
from service.domain.revocations import Kind, Revocation
from service.domain.sessions import Ended, Why
from service.kernel.call import Call
from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId
from service.kernel.postgres import Decision
from service.policy import LONGEST_TOKEN, seconds

PAST_EXPIRY: Final = timedelta(seconds=60)
"""How long a revocation is kept after its last token expired, since clocks differ."""

LASTS: Final = seconds(LONGEST_TOKEN) + PAST_EXPIRY
"""How long a revocation is kept that is not of one token: longer than any token lives."""


class Cause(Enum):
    """Why sessions end.  Rows and events record `why`; the revocation feed publishes `reason`."""

    SIGNED_OUT = Why.SIGNED_OUT, "signed out"
    TOKEN_REVOKED = Why.SIGNED_OUT, "refresh token revoked"
    SIGNED_OUT_EVERYWHERE = Why.SIGNED_OUT_EVERYWHERE, "signed out everywhere"
    ENDED_BY_OWNER = Why.ENDED_BY_OWNER, "ended by its owner"
    ENDED_BY_ADMIN = Why.ENDED_BY_ADMIN, "ended by an administrator"
    ORGANIZATION_SIGNED_OUT = Why.ENDED_BY_ADMIN, "organization signed out"
    ORGANIZATION_SWITCHED = Why.ORGANIZATION_SWITCHED, "organization switched"
    PASSWORD_CHANGED = Why.PASSWORD_CHANGED, "password changed"
    REPLAYED = Why.REPLAYED, "refresh token replayed"
    ORGANIZATION_DISABLED = Why.DISABLED, "organization disabled"
    MEMBERSHIP_SUSPENDED = Why.DISABLED, "membership suspended"
    MEMBERSHIP_ENDED = Why.DISABLED, "membership ended"
    ACCOUNT_DISABLED = Why.DISABLED, "account disabled"
    PERSON_ERASED = Why.DISABLED, "person erased"
    CLIENT_CLOSED = Why.CLIENT_CLOSED, "client closed"

    def __init__(self, why: Why, reason: str) -> None:
        self.why = why
        self.reason = reason


class One(Struct, frozen=True):
    """One session of a person."""

    user_id: UserId
    session_id: SessionId


class OfPerson(Struct, frozen=True):
    """All sessions of a person but `kept`, in one organization or (None) in all.

    The caller holds the person, so that none is opened meanwhile.
    """

    user_id: UserId
    within: TenantId | None = None
    kept: SessionId | None = None


class OfOrganization(Struct, frozen=True):
    """All sessions in an organization."""

    tenant_id: TenantId


class OfClient(Struct, frozen=True):
    """All sessions of a client that is not the console."""

    client_id: str


Which: TypeAlias = One | OfPerson | OfOrganization | OfClient


async def end(
    call: Call,
    tx: Decision,
    which: Which,
    cause: Cause,
    *,
    told: Sequence[Event] | None = None,
    reason: str | None = None,
) -> list[Revocation]:
    """End sessions and their families, record it, and revoke what was issued for them.

    Returns the revocation of each session that was ended.  `told`: the events to record instead of
    one `SessionEnded` for each organization that had such sessions.  `reason`: what the feed
    publishes instead of the cause's reason.

    Call it last in a transaction; only other revocations may follow.  It locks the rows of
    sessions, of families and of events, then the counter of the revocations.  An act that must do
    something after the sessions are locked calls `take`, and `close` at its end.
    """
    ended = await take(call, tx, which, cause)
    if told is None:
        told = _ended(which, cause, ended)
    return await close(call, tx, ended, cause, told, reason=reason)


async def take(call: Call, tx: Decision, which: Which, cause: Cause) -> list[Ended]:
    """End the rows of sessions, and keep them locked; `close` does the rest."""
    match which:
        case One(user_id, session_id):
            one = await sessions.end_one(tx, session_id, user_id, call.at, cause.why)
            return [one] if one else []
        case OfPerson(user_id, within, kept):
            return await sessions.end_all(
                tx, user_id, call.at, cause.why, tenant_id=within, kept=kept
            )
        case OfOrganization(tenant_id):
            return await sessions.end_organization(tx, tenant_id, call.at, cause.why)
        case OfClient(client_id):
            return await sessions.end_client(tx, client_id, call.at, cause.why)


async def close(
    call: Call,
    tx: Decision,
    ended: Sequence[Ended],
    cause: Cause,
    told: Sequence[Event],
    *,
    reason: str | None = None,
) -> list[Revocation]:
    """End the families of sessions that `take` ended, record `told`, and revoke each `sid`."""
    if ended:
        status = Status.BURNED if cause is Cause.REPLAYED else Status.ENDED
        await families.end_by_session(tx, [one.session_id for one in ended], status)
    await audit.record_all(tx, call, told)
    return [
        revoked
        for tenant_id, group in by_organization(ended).items()
        for revoked in await revocations.revoke(
            tx,
            Kind.SID,
            [str(one.session_id) for one in group],
            tenant_id=tenant_id,
            reason=reason or cause.reason,
            at=call.at,
            expires_at=call.at + LASTS,
        )
    ]


def by_organization(ended: Sequence[Ended]) -> dict[TenantId, list[Ended]]:
    """Return sessions by the organization they were in."""
    found: dict[TenantId, list[Ended]] = {}
    for one in ended:
        found.setdefault(one.tenant_id, []).append(one)
    return found


def _ended(which: Which, cause: Cause, ended: Sequence[Ended]) -> list[Event]:
    return [
        events.SessionEnded(
            tenant_id=tenant_id,
            user_id=which.user_id if isinstance(which, One | OfPerson) else None,
            session_id=which.session_id if isinstance(which, One) else None,
            why=cause.why,
            count=len(group),
        )
        for tenant_id, group in by_organization(ended).items()
    ]


async def close_keys(
    tx: Decision, at: datetime, key_ids: Sequence[ApiKeyId], tenant_id: TenantId, reason: str
) -> None:
    """Put API keys of one organization on the revocation feed.

    That also revokes tokens that they were exchanged for, and ends all cached results of checks, in
    workers and verifiers.  Call it last in a transaction: it locks the counter of the revocations.
    """
    await revocations.revoke(
        tx,
        Kind.AKID,
        [str(key_id) for key_id in key_ids],
        tenant_id=tenant_id,
        reason=reason,
        at=at,
        expires_at=at + LASTS,
    )
