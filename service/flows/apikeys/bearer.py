"""Authenticate a bearer credential: an access token or an API key."""

from service.flows.shared.api_key_check import PREFIX, Shown, check_key
from service.flows.shared.authenticate import authenticate
from service.kernel.call import ApiKey, Call, Machine, Person
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def authenticate_bearer(rt: Runtime, call: Call, token: str) -> Person | Machine | ApiKey:
    """Return the caller.  Refused: UNAUTHENTICATED, which never says why; TOO_MANY; UNAVAILABLE."""
    if not token.startswith(PREFIX):
        return await authenticate(rt, token, call.at)
    checked = await check_key(rt, call, Shown(text=token, address=call.ip, limited=True))
    key = checked.good
    if key is None:
        raise Refused(Reason.UNAUTHENTICATED, private=f"api key: {checked.why}")
    return ApiKey(key_id=key.key_id, tenant_id=key.tenant_id, scopes=key.scopes)
