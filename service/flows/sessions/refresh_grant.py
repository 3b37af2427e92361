"""The refresh token grant (RFC 6749 section 6), for clients that cannot use the cookie."""

from service.domain import families
from service.domain.clients import Client
from service.flows.sessions.refresh import refresh
from service.flows.shared.issuing import CONSOLE, Issued, minter, narrowed
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def refresh_for_client(
    rt: Runtime, call: Call, client: Client | None, refresh_token: str, scope: str | None
) -> Issued:
    """Rotate a token that was issued to this very client (None: the console).

    `scope` narrows the access token and nothing else: the refresh token keeps what it was granted.

    Refused: INVALID_GRANT.  Another client's token is refused and not burned: whoever holds it has
    not used it.  INVALID_SCOPE for more than it was granted, which is what its person's role holds;
    the token is not spent.
    """
    client_id = client.client_id if client else CONSOLE
    presented = minter(rt).read(refresh_token)
    owner = standing = asked = None
    if presented is not None:
        async with rt.pg.reading() as tx:
            owner = await families.find_owner(tx, presented.handle_hash)
            if scope is not None and owner is not None and owner.alive(call.at):
                standing = await families.find_standing(tx, owner.session_id)
    if owner is not None and owner.client_id != client_id:
        raise Refused(Reason.INVALID_GRANT, private="refresh: token of another client")
    if standing is not None:
        asked = narrowed(scope, rt.policy.role_scopes.get(standing.role, ()))
    granted = await refresh(rt, call, refresh_token, asked)
    return Issued(granted.access_token, granted.expires_in, granted.scope, granted.refresh_token)
