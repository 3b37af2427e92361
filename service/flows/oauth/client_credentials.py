"""Issue a token to a client for itself (RFC 6749 section 4.4).  Nothing is written."""

from datetime import datetime

from service.domain import clients
from service.domain.clients import Client, GrantType
from service.domain.revocations import Marks
from service.domain.tokens import Claims
from service.flows.shared.cutoff import after_cutoffs
from service.flows.shared.issuing import Issued, narrowed
from service.flows.shared.known_client import find_client
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused, unavailable
from service.runtime import Runtime


async def issue_to_client(rt: Runtime, call: Call, client: Client, scope: str | None) -> Issued:
    """Issue the token after any cutoff on the client: usually at once, else within two seconds.

    A client may have just been given a grant or a scope: it is read again before one is refused.
    After a wait the client is read again; UNAVAILABLE when its credentials have changed meanwhile.
    Refused: UNAUTHORIZED_CLIENT for a client without this grant; INVALID_SCOPE for a scope that the
    client does not hold; UNAVAILABLE.
    """
    if not _allows(client, scope):  # it may have just been given more
        found = await find_client(rt, call, client.client_id, doubtful=True)
        if found is not None and _proof(found) != _proof(client):
            raise unavailable("client: its credentials have just changed")
        client = found or client
    if GrantType.CLIENT_CREDENTIALS not in client.grant_types:
        raise Refused(
            Reason.UNAUTHORIZED_CLIENT, "this client is not registered for client_credentials"
        )

    async def again(_: datetime) -> Client:
        async with rt.pg.reading() as tx:
            still = await clients.find_enabled(tx, client.client_id)
        if still != client:
            raise unavailable("client: changed while it waited")
        return client

    at, _ = await after_cutoffs(
        rt, call.at, client, cutoff=lambda one, at: _cutoff(rt, one, at), again=again
    )
    return mint_for_client(rt, at, client, scope)


def _allows(client: Client, scope: str | None) -> bool:
    asked = set((scope or "").split())
    return GrantType.CLIENT_CREDENTIALS in client.grant_types and asked <= set(client.scopes)


def _proof(client: Client) -> tuple[object, ...]:
    """Return what it proved itself by, which must be the same in what is read after that."""
    return (
        client.token_endpoint_auth_method,
        client.secret_mac,
        client.previous_mac,
        client.jwks,
    )


def mint_for_client(rt: Runtime, at: datetime, client: Client, scope: str | None) -> Issued:
    """Sign a token that is issued `at`.  Refused(INVALID_SCOPE)."""
    asked = narrowed(scope, client.scopes)
    expires_in = rt.policy.tokens.access_token_ttl
    issued = int(at.timestamp())
    claims = Claims(
        iss=rt.settings.issuer,
        sub=client.client_id,
        aud=rt.tokens.audience,
        exp=issued + expires_in,
        iat=issued,
        jti=str(ids.new(at)),
        client_id=client.client_id,
        scope=" ".join(asked),
        tenant_id=str(client.tenant_id) if client.tenant_id else None,
    )
    token = rt.tokens.mint(rt.keyring.signing(at), claims)
    metrics.issued("client_credentials")
    return Issued(token, expires_in, claims.scope)


def _cutoff(rt: Runtime, client: Client, at: datetime) -> datetime | None:
    """Return the cutoff that would revoke a token issued `at`; None: there is none.

    The memory knows every cutoff committed before the client was read (`authenticate_client`).
    """
    marks = Marks(
        jti="",
        iat=int(at.timestamp()),
        kid="",
        sub="",
        client_id=client.client_id,
        tenant_id=str(client.tenant_id) if client.tenant_id else None,
    )
    found = rt.revocations.memory.find(marks)
    return found.cutoff if found else None
