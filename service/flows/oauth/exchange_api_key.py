"""Exchange an API key for a short-lived access token (RFC 8693).

Only API keys are accepted as subject tokens.  Their type is
`urn:tesserra:params:oauth:token-type:api-key`; `...:access_token` of RFC 8693 is accepted too.
"""

from datetime import datetime

from msgspec.structs import replace

from service.domain.apikeys import StoredKey
from service.domain.tokens import Claims
from service.flows.shared.api_key_check import Shown, check_key
from service.flows.shared.cutoff import after_cutoffs
from service.flows.shared.issuing import Issued, narrowed
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
API_KEY = "urn:tesserra:params:oauth:token-type:api-key"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
JWT = "urn:ietf:params:oauth:token-type:jwt"


async def exchange_key(rt: Runtime, call: Call, text: str, scope: str | None) -> Issued:
    """Issue a token for a key.  It is revoked with the key, and expires with it at the latest.

    Refused: INVALID_REQUEST for a key that is not good, for whatever reason (RFC 8693 section
    2.2.2); INVALID_SCOPE for a scope that the key does not hold; TOO_MANY; UNAVAILABLE.
    """

    async def good(at: datetime) -> StoredKey:
        shown = Shown(text=text, address=call.ip, limited=True, anew=True)
        checked = await check_key(rt, replace(call, at=at), shown)
        if checked.good is None:
            raise _no(str(checked.why))
        return checked.good

    at, key = await after_cutoffs(
        rt, call.at, await good(call.at), cutoff=lambda one, _: one.cutoff, again=good
    )
    claims = _claims(rt, at, key, narrowed(scope, key.scopes))
    if claims.exp <= claims.iat:
        raise _no("expires within the second")
    token = rt.tokens.mint(rt.keyring.signing(at), claims)
    metrics.issued("token_exchange")
    return Issued(token, claims.exp - claims.iat, claims.scope)


def _claims(rt: Runtime, at: datetime, key: StoredKey, asked: tuple[str, ...]) -> Claims:
    """Return the claims of the token.  `sub` is the owner, or the key itself without an owner."""
    issued = int(at.timestamp())
    expires = issued + rt.policy.tokens_for(key.policy).exchanged_token_ttl
    if key.expires_at is not None:
        expires = min(expires, int(key.expires_at.timestamp()))
    return Claims(
        iss=rt.settings.issuer,
        sub=str(key.owner_id or key.key_id),
        aud=rt.tokens.audience,
        exp=expires,
        iat=issued,
        jti=str(ids.new(at)),
        client_id=key.prefix,
        scope=" ".join(asked),
        tenant_id=str(key.tenant_id),
        akid=str(key.key_id),
    )


def _no(private: str) -> Refused:
    return Refused(
        Reason.INVALID_REQUEST,
        "the subject token is not good",
        private=f"exchange: {private}",
        fields=("subject_token",),
    )
