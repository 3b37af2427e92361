"""/oauth: token, introspect, revoke."""

from typing import Annotated

from litestar import Response, Router, post
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from msgspec import Meta, Struct

from service.domain.apikeys import StoredKey
from service.domain.clients import Client
from service.domain.tokens import Claims
from service.flows.oauth.authenticate_client import authenticate_client
from service.flows.oauth.client_credentials import issue_to_client
from service.flows.oauth.exchange_api_key import ACCESS_TOKEN, API_KEY, JWT, exchange_key
from service.flows.oauth.exchange_api_key import GRANT as EXCHANGE
from service.flows.oauth.introspect import introspect
from service.flows.oauth.revoke_token import revoke_token
from service.flows.sessions.refresh_grant import refresh_for_client
from service.flows.shared.issuing import Issued
from service.http.address import given_address
from service.http.dialect import Dialect, speaks
from service.http.oauth.form import Form, provide_form
from service.http.oauth.parameters import IntrospectionRequest, RevocationRequest, TokenRequest
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

GRANTS = ("client_credentials", "refresh_token", EXCHANGE)

FromForm = NamedDependency[SkipValidation[Form]]


class TokenAnswer(Struct, frozen=True, omit_defaults=True):
    """RFC 6749 section 5.1."""

    access_token: str
    expires_in: Annotated[int, Meta(description="seconds")]
    scope: str
    token_type: str
    refresh_token: str | None = None
    issued_token_type: str | None = None
    """Only in the answer to an exchange (RFC 8693 section 2.2.1)."""


class Introspection(Struct, frozen=True, omit_defaults=True):
    """RFC 7662 section 2.2.  For every token that is not active it only has `active: false`."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    sid: str | None = None
    tenant_id: str | None = None
    roles: tuple[str, ...] | None = None
    auth_time: int | None = None
    amr: tuple[str, ...] | None = None
    akid: str | None = None


class Revoked(Struct, frozen=True):
    """An empty JSON object, since many clients parse every answer (RFC 7009 section 2.2)."""


@post("/token", status_code=200, opt={"form": TokenRequest})
async def token(form: FromForm) -> Response[TokenAnswer]:
    """Exchange a grant for tokens (RFC 6749 section 3.2)."""
    kind = None
    match form.need("grant_type"):
        case "client_credentials":
            issued = await _client_credentials(form)
        case "refresh_token":
            issued = await _refresh(form)
        case grant if grant == EXCHANGE:
            issued = await _exchange(form)
            kind = form.get("requested_token_type") or ACCESS_TOKEN
        case _:
            raise Refused(Reason.UNSUPPORTED_GRANT, f"grant_type is one of: {', '.join(GRANTS)}")
    answer = TokenAnswer(
        access_token=issued.access_token,
        expires_in=issued.expires_in,
        scope=issued.scope,
        token_type="Bearer",  # noqa: S106 - the type's name (RFC 6750)
        refresh_token=issued.refresh_token,
        issued_token_type=kind,
    )
    return Response(answer)


@post("/introspect", status_code=200, opt={"form": IntrospectionRequest})
async def introspect_token(form: FromForm) -> Response[Introspection]:
    """Introspect a token for an authenticated client (RFC 7662)."""
    rt, call = form.context.rt, form.context.call
    client = await _client(form)
    # Where a key was presented from: ours, beyond RFC 7662.
    address = given_address(form.get("address"))
    found = await introspect(rt, call, client, form.need("token"), address)
    told = _key(rt, found) if isinstance(found, StoredKey) else _introspection(found)
    return Response(told)


@post("/revoke", status_code=200, opt={"form": RevocationRequest})
async def revoke(form: FromForm) -> Response[Revoked]:
    """Revoke a token of this client (RFC 7009).  The answer is an empty JSON object."""
    client = await _client(form, public=True)
    await revoke_token(form.context.rt, form.context.call, client, form.need("token"))
    return Response(Revoked())


async def _client_credentials(form: Form) -> Issued:
    rt, call = form.context.rt, form.context.call
    client = await _client(form)
    return await issue_to_client(rt, call, client, form.get("scope"))


async def _refresh(form: Form) -> Issued:
    rt, call = form.context.rt, form.context.call
    client = await _client(form, public=True)
    return await refresh_for_client(rt, call, client, form.need("refresh_token"), form.get("scope"))


async def _exchange(form: Form) -> Issued:
    """Exchange an API key (RFC 8693 section 2.1).  The key authenticates, without a client."""
    rt, call = form.context.rt, form.context.call
    if form.presented.secret is not None or form.presented.assertion is not None:
        await _client(form)
    key = form.need("subject_token")
    if form.need("subject_token_type") not in (API_KEY, ACCESS_TOKEN):
        raise Refused(
            Reason.INVALID_REQUEST, f"{API_KEY} is expected", fields=("subject_token_type",)
        )
    if form.get("requested_token_type") not in (None, ACCESS_TOKEN, JWT):
        raise Refused(
            Reason.INVALID_REQUEST, f"{ACCESS_TOKEN} is issued", fields=("requested_token_type",)
        )
    if form.get("actor_token") or form.get("actor_token_type"):
        raise Refused(
            Reason.INVALID_REQUEST, "nobody acts for a key: leave it out", fields=("actor_token",)
        )
    for name in ("audience", "resource"):
        if form.get(name) not in (None, rt.tokens.audience):
            raise Refused(
                Reason.INVALID_TARGET, f"{rt.tokens.audience} is expected", fields=(name,)
            )
    return await exchange_key(rt, call, key, form.get("scope"))


async def _client(form: Form, *, public: bool = False) -> Client:
    rt, call = form.context.rt, form.context.call
    client = await authenticate_client(rt, call, form.presented, public=public)
    form.context.note(client.client_id, client.tenant_id)
    return client


def _key(rt: Runtime, key: StoredKey) -> Introspection:
    """Render the introspection of a good API key.  `client_id` is its public prefix."""
    return Introspection(
        active=True,
        scope=" ".join(key.scopes),
        client_id=key.prefix,
        token_type="api_key",  # noqa: S106 - the type's name
        exp=None if key.expires_at is None else int(key.expires_at.timestamp()),
        iat=int(key.created_at.timestamp()),
        sub=str(key.owner_id or key.key_id),
        iss=rt.settings.issuer,
        tenant_id=str(key.tenant_id),
        akid=str(key.key_id),
    )


def _introspection(claims: Claims | None) -> Introspection:
    if claims is None:
        return Introspection(active=False)
    return Introspection(
        active=True,
        scope=claims.scope,
        client_id=claims.client_id,
        token_type="Bearer",  # noqa: S106 - the type's name (RFC 6750)
        exp=claims.exp,
        iat=claims.iat,
        sub=claims.sub,
        aud=claims.aud,
        iss=claims.iss,
        jti=claims.jti,
        sid=claims.sid,
        tenant_id=claims.tenant_id,
        roles=claims.roles or None,
        auth_time=claims.auth_time,
        amr=claims.amr or None,
        akid=claims.akid,
    )


router = Router(
    "/oauth",
    route_handlers=[token, introspect_token, revoke],
    dependencies={"form": Provide(provide_form)},
    opt=speaks(Dialect.OAUTH),
)
