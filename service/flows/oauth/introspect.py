"""Introspect a token (RFC 7662)."""

from service.domain.apikeys import StoredKey
from service.domain.clients import Client
from service.domain.tokens import Claims
from service.flows.shared.api_key_check import PREFIX, Shown, check_key
from service.flows.shared.authenticate import verify
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def introspect(
    rt: Runtime, call: Call, client: Client, token: str, address: str | None
) -> Claims | StoredKey | None:
    """Return the claims of an access token, or an API key; None when it is not active.

    Not active: not genuine, expired, revoked, or out of this client's reach.  `address` is where a
    key was presented from, for keys that are bound to addresses.

    Needs no query while the worker's revocations are fresh.  Refused(UNAVAILABLE) when it cannot be
    known whether the token is revoked.
    """
    if token.startswith(PREFIX):
        shown = Shown(text=token, address=address, to=client.tenant_id)
        return (await check_key(rt, call, shown)).good
    try:
        claims = await verify(rt, token, call.at)
    except Refused as refused:
        if refused.reason is Reason.UNAUTHENTICATED:
            return None
        raise
    tenant_id = TenantId(ids.read(claims.tenant_id)) if claims.tenant_id else None
    if client.tenant_id is not None and client.tenant_id != tenant_id:
        return None
    return claims
