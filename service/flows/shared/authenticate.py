"""Authenticate an access token."""

from datetime import UTC, datetime
from functools import lru_cache

from service.domain.revocations import Marks
from service.domain.tokens import Claims
from service.kernel import ids
from service.kernel.call import ApiKey, Machine, Person
from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_REMEMBERED = 20_000


async def authenticate(rt: Runtime, token: str, at: datetime) -> Person | Machine | ApiKey:
    """Return the person, machine or API key that a token was issued to.

    Needs no query while the worker's revocations are fresh.  Refused: UNAUTHENTICATED when the
    token is not genuine, has expired or is revoked; FORBIDDEN when it was issued for another
    service (`aud`); UNAVAILABLE when its revocation is unknown.
    """
    claims = await verify(rt, token, at)
    if claims.aud != rt.tokens.audience:
        raise Refused(
            Reason.FORBIDDEN,
            "this token was issued for another service: its aud names that one",
            private="wall: audience",
        )
    return _bearer(claims)


@lru_cache(_REMEMBERED)
def _bearer(claims: Claims) -> Person | Machine | ApiKey:
    """Return the caller that verified claims name.  It is the same for the token's whole life."""
    tenant_id = TenantId(ids.read(claims.tenant_id)) if claims.tenant_id else None
    scopes = tuple(claims.scope.split())
    if claims.akid is not None and tenant_id is not None:
        return ApiKey(key_id=ApiKeyId(ids.read(claims.akid)), tenant_id=tenant_id, scopes=scopes)
    if claims.sid is None or tenant_id is None:
        return Machine(client_id=claims.client_id, tenant_id=tenant_id, scopes=scopes)
    return Person(
        user_id=UserId(ids.read(claims.sub)),
        tenant_id=tenant_id,
        session_id=SessionId(ids.read(claims.sid)),
        client_id=claims.client_id,
        roles=claims.roles,
        scopes=scopes,
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )


async def verify(rt: Runtime, token: str, at: datetime) -> Claims:
    """Return the claims of a token that `read` accepts and that is not revoked.

    Refused: UNAUTHENTICATED; UNAVAILABLE.
    """
    claims = await read(rt, token, at)
    if await rt.revocations.is_revoked(marks(claims)):
        raise Refused(Reason.UNAUTHENTICATED, private="access token: revoked")
    return claims


async def read(rt: Runtime, token: str, at: datetime) -> Claims:
    """Return the claims of a token that is genuine and not expired, whatever service it is for.

    It may be revoked.  Refused: UNAUTHENTICATED; UNAVAILABLE when its key cannot be looked up.
    """
    await rt.keyring.learn(rt.pg, token)
    return rt.tokens.verify(token, at, any_audience=True)


def marks(claims: Claims) -> Marks:
    """Return all marks by which a token can be revoked."""
    return Marks(
        jti=claims.jti,
        iat=claims.iat,
        kid=claims.kid,
        sub=claims.sub,
        client_id=claims.client_id,
        sid=claims.sid,
        tenant_id=claims.tenant_id,
        akid=claims.akid,
    )
