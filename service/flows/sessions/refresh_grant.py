"""The refresh token grant (RFC 6749 section 6), for clients that cannot use the cookie."""

from service.domain.clients import Client
from service.flows.sessions.refresh import refresh
from service.flows.shared.issuing import Issued
from service.kernel.call import Call
from service.runtime import Runtime


async def refresh_for_client(
    rt: Runtime, call: Call, client: Client, refresh_token: str, scope: str | None
) -> Issued:
    """Rotate a refresh token that was issued to this client.  Refused: see `refresh`."""
    granted = await refresh(rt, call, refresh_token, client.client_id, scope)
    return Issued(granted.access_token, granted.expires_in, granted.scope, granted.refresh_token)
