"""A token for a service itself (RFC 6749 section 4.4).  Nothing is written."""

from msgspec import Struct

from service.domain.clients import Client
from service.domain.tokens import Claims
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


class Issued(Struct, frozen=True):
    """An access token, how long it lasts in seconds, and what it reaches."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None


def issue_to_client(rt: Runtime, call: Call, client: Client, scope: str | None) -> Issued:
    """Issue it.  Refused(INVALID_SCOPE) when more is asked for than the client holds."""
    asked = tuple(dict.fromkeys(scope.split())) if scope else client.scopes
    if not set(asked) <= set(client.scopes):
        raise Refused(Reason.INVALID_SCOPE, "the client does not hold this scope")
    expires_in = rt.policy.tokens.access_token_ttl
    issued = int(call.at.timestamp())
    claims = Claims(
        iss=rt.settings.issuer,
        sub=client.client_id,
        aud=rt.tokens.audience,
        exp=issued + expires_in,
        iat=issued,
        jti=str(ids.new(call.at)),
        client_id=client.client_id,
        scope=" ".join(asked),
        tenant_id=str(client.tenant_id) if client.tenant_id else None,
    )
    token = rt.tokens.mint(rt.keyring.signing(call.at), claims)
    metrics.issued("client_credentials")
    return Issued(token, expires_in, claims.scope)
