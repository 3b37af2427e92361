"""Revoke a token at the request of its own client (RFC 7009)."""

from datetime import UTC, datetime
from uuid import UUID

from service.domain import audit, families, revocations
from service.domain.audit import events
from service.domain.clients import Client
from service.domain.families import PresentedToken
from service.domain.revocations import Kind
from service.domain.tokens import Claims
from service.flows.shared.authenticate import marks, read
from service.flows.shared.ending import PAST_EXPIRY, Cause, One, end
from service.flows.shared.issuing import minter
from service.kernel.call import Call
from service.kernel.ids import SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def revoke_token(rt: Runtime, call: Call, client: Client, token: str) -> None:
    """Revoke an access or a refresh token of this client.

    A token that is unknown, expired or already revoked is no error (section 2.2).
    Refused(UNAUTHORIZED_CLIENT) for a token that was issued to another client.
    """
    presented = minter(rt).read(token)
    if presented is not None:
        await _revoke_refresh(rt, call, client.client_id, presented)
    else:
        await _revoke_access(rt, call, client.client_id, token)


async def _revoke_refresh(
    rt: Runtime, call: Call, client_id: str, presented: PresentedToken
) -> None:
    async with rt.pg.decision() as tx:
        owner = await families.find_owner(tx, presented.handle_hash)
        if owner is None:
            return
        _check_owner(owner.client_id, client_id)
        await end(call, tx, One(owner.user_id, owner.session_id), Cause.TOKEN_REVOKED)


async def _revoke_access(rt: Runtime, call: Call, client_id: str, token: str) -> None:
    try:
        claims = await read(rt, token, call.at)
    except Refused as refused:
        if refused.reason is Reason.UNAUTHENTICATED:
            return
        raise
    _check_owner(claims.client_id, client_id)
    if await rt.revocations.is_revoked(marks(claims)):
        return  # else one good token would fill the trail, and every verifier's memory
    tenant_id = TenantId(UUID(claims.tenant_id)) if claims.tenant_id else None
    async with rt.pg.decision() as tx:
        await audit.record(tx, call, _event(claims, tenant_id))
        await revocations.revoke(
            tx,
            Kind.JTI,
            [claims.jti],
            tenant_id=tenant_id,
            reason="revoked by its client",
            at=call.at,
            expires_at=datetime.fromtimestamp(claims.exp, UTC) + PAST_EXPIRY,
        )


def _event(claims: Claims, tenant_id: TenantId | None) -> events.Revoked:
    person = claims.sid is not None
    return events.Revoked(
        tenant_id=tenant_id,
        user_id=UserId(UUID(claims.sub)) if person else None,
        session_id=SessionId(UUID(claims.sid)) if claims.sid else None,
        kind=Kind.JTI.value,
        value=claims.jti,
        reason="revoked by its client",
    )


def _check_owner(issued_to: str, client_id: str) -> None:
    if issued_to != client_id:
        raise Refused(Reason.UNAUTHORIZED_CLIENT, "the token was issued to another client")
