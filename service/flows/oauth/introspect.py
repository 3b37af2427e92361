"""Is this token good, and whose is it (RFC 7662)?"""

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
    """Return what a token says, or the API key it is; None when it is good for nothing.

    That is: not genuine, expired, revoked, or none of the client's.  `address` is where a key was
    presented from, for keys that are bound to addresses.

    No query while the worker's revocations are fresh.  Refused(UNAVAILABLE) when nobody can say
    whether it was revoked.
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
