"""The refresh token grant (RFC 6749 section 6), for clients that cannot use the cookie."""

from service.domain import families
from service.domain.clients import Client
from service.flows.access.granting import CONSOLE, minter
from service.flows.access.refresh import refresh
from service.flows.oauth.client_credentials import Issued
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def refresh_for_client(
    rt: Runtime, call: Call, client: Client | None, refresh_token: str
) -> Issued:
    """Rotate a token that was issued to this very client (None: the console).

    Refused(INVALID_GRANT).  Another client's token is refused and not burned: whoever holds it has
    not used it.
    """
    client_id = client.client_id if client else CONSOLE
    presented = minter(rt).read(refresh_token)
    if presented is not None:
        async with rt.pg.reading() as tx:
            owner = await families.find_owner(tx, presented.handle_hash)
        if owner is not None and owner.client_id != client_id:
            raise Refused(Reason.INVALID_GRANT, private="refresh: token of another client")
    granted = await refresh(rt, call, refresh_token)
    scope = " ".join(rt.policy.role_scopes.get(granted.grantee.role, ()))
    return Issued(granted.access_token, granted.expires_in, scope, granted.refresh_token)
