"""The request context of handlers: the runtime, the call and its actor, in one dependency."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.types import Scope
from msgspec import Struct

from service.flows.shared.bearer import (
    authenticate_administrator,
    authenticate_caller,
    authenticate_person,
)
from service.flows.shared.permissions import Administrator
from service.http import cookies
from service.http.address import ClientAddresses
from service.kernel.call import ApiKey, Call, Machine, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_Authenticate: TypeAlias = Callable[[Runtime, Call, str], Awaitable[Person | Machine | ApiKey]]
HTTP_1 = frozenset({"1", "1.0", "1.1"})
"""The versions of HTTP that ASGI servers name for HTTP/1.x."""
_LONGEST_AGENT = 512


class RequestContext(Struct, frozen=True):
    """One request, with what a handler needs."""

    rt: Runtime
    call: Call
    refresh_token: str | None = None
    device_token: str | None = None
    state: dict[str, object] = {}
    """Fields for the access log."""

    def note(self, actor_id: str | None, tenant_id: TenantId | None) -> None:
        """Put the actor and the organization into the access log."""
        self.state.update(actor_id=actor_id, tenant_id=str(tenant_id) if tenant_id else None)

    @property
    def person(self) -> Person:
        """Return the signed-in person.  Refused(UNAUTHENTICATED) when there is none."""
        if not isinstance(self.call.actor, Person):
            raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
        return self.call.actor

    @property
    def administrator(self) -> Administrator:
        """Return the calling administrator.  Refused(UNAUTHENTICATED) when there is none."""
        if not isinstance(self.call.actor, (Person, Machine)):
            raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
        return self.call.actor


FromCaller: TypeAlias = NamedDependency[SkipValidation[RequestContext]]
"""The type by which a handler gets the request context."""


async def provide_open(scope: Scope) -> RequestContext:
    """For routes that anyone may call."""
    return _unsigned(scope)


async def provide_person(scope: Scope) -> RequestContext:
    """For routes on which people manage their own account: a person's bearer token.

    Refused: UNAUTHENTICATED without a good token; FORBIDDEN for a machine, for an API key, and for
    a person's token that was issued to or for another application.
    """
    return await _signed(_unsigned(scope), _needed(scope), authenticate_person)


async def provide_administrator(scope: Scope) -> RequestContext:
    """For routes of administration: a person, or a machine with a management scope.

    Refused: as `provide_person` for people; INSUFFICIENT_SCOPE for a machine without such a scope;
    FORBIDDEN for an API key.
    """
    return await _signed(_unsigned(scope), _needed(scope), authenticate_administrator)


async def provide_caller(scope: Scope) -> RequestContext:
    """For routes that check scopes: any caller with a token or an API key, people too.

    The flow checks the scope.  Refused: UNAUTHENTICATED; FORBIDDEN for a token that was issued for
    another service; TOO_MANY for bad API keys; UNAVAILABLE.
    """
    return await _signed(_unsigned(scope), _needed(scope), authenticate_caller)


async def provide_optional(scope: Scope) -> RequestContext:
    """For routes that anyone may call; the actor is the signed-in person, if there is one.

    A bearer token that is sent along must be a person's.  Refused: as `provide_person`.
    """
    context = _unsigned(scope)
    token = bearer(scope)
    return context if token is None else await _signed(context, token, authenticate_person)


async def provide_by_cookie(scope: Scope) -> RequestContext:
    """For routes that act on the refresh cookie.

    A bearer token is ignored here: clients send their last one along, expired or not.  Refused:
    FORBIDDEN from a page of another origin; UNSUPPORTED_MEDIA unless the body is JSON, so that
    other sites cannot cause the request without a preflight.
    """
    refuse_foreign_page(scope)
    context = _unsigned(scope)
    refresh_token = cookies.read(scope["headers"], cookies.REFRESH)
    if refresh_token is not None and not is_json(scope):
        raise Refused(Reason.UNSUPPORTED_MEDIA, "send application/json")
    return msgspec.structs.replace(context, refresh_token=refresh_token)


async def provide_sign_out(scope: Scope) -> RequestContext:
    """For signing out by cookie, bearer token or both.  An expired token counts as none."""
    context = await provide_by_cookie(scope)
    try:
        token = bearer(scope)
        return await _signed(context, token, authenticate_person) if token else context
    except Refused as refused:
        if refused.reason is not Reason.UNAUTHENTICATED:
            raise
        return context


async def provide_sign_in(scope: Scope) -> RequestContext:
    """For signing in.  Refused(FORBIDDEN) from a page of an origin that is not allowed."""
    refuse_foreign_page(scope)
    return msgspec.structs.replace(
        _unsigned(scope, by_person=True),
        device_token=cookies.read(scope["headers"], cookies.DEVICE),
    )


async def provide_password(scope: Scope) -> RequestContext:
    """For changing the password: a signed-in person, and the device cookie."""
    context = await provide_person(scope)
    return msgspec.structs.replace(
        context, device_token=cookies.read(scope["headers"], cookies.DEVICE)
    )


def refuse_foreign_page(scope: Scope) -> None:
    """Refuse a browser's request from a page of an origin that is not allowed: FORBIDDEN."""
    settings = runtime(scope).settings
    origins = headers(scope, b"origin")
    if origins:  # a browser sends one
        allowed = len(origins) == 1 and origins[0] in {settings.issuer, *settings.allowed_origins}
    else:
        allowed = header(scope, b"sec-fetch-site") in (None, "none", "same-origin")
    if not allowed:
        raise Refused(Reason.FORBIDDEN, "this origin is not allowed")


def is_json(scope: Scope) -> bool:
    """Whether the request declares its body as JSON."""
    return media_type(scope) == "application/json"


def media_type(scope: Scope) -> str:
    """Return the declared media type of the body without parameters; "" without one."""
    return (header(scope, b"content-type") or "").partition(";")[0].strip().lower()


def may_have_body(scope: Scope) -> bool:
    """Whether the request may have a body.

    HTTP/1.x announces a body in a header (RFC 9112 section 6.3).  HTTP/2 need not (RFC 9113 section
    8.1): only reading shows it.
    """
    if scope["http_version"] not in HTTP_1:
        return True
    given = scope["state"]["headers"]
    return given.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in given


def bearer(scope: Scope) -> str | None:
    """Return the bearer token (RFC 6750 section 2.1), never from a query or a form."""
    given = headers(scope, b"authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        raise Refused(Reason.UNAUTHENTICATED, private="Authorization is not one bearer token")
    return token.strip(" ")


def headers(scope: Scope, name: bytes) -> list[str]:
    """Return the values of a header.  `name` is in lower case, as in ASGI."""
    return [value.decode("latin-1") for value in _values(scope, name)]


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header, or None."""
    return next(iter(headers(scope, name)), None)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    """Return the raw values.  Most requests lack most headers, so their names are checked first."""
    if name not in scope["state"]["headers"]:
        return []
    return [value for given, value in scope["headers"] if given == name]


def runtime(scope: Scope) -> Runtime:
    """Return the runtime of the application."""
    rt: Runtime = scope["litestar_app"].state.rt
    return rt


def _unsigned(scope: Scope, *, by_person: bool = False) -> RequestContext:
    """Return the context of a request before anybody is authenticated."""
    rt = runtime(scope)
    addresses: ClientAddresses = scope["litestar_app"].state.client_addresses
    client = scope.get("client")
    forwarded = tuple(_values(scope, b"x-forwarded-for"))
    call = Call(
        request_id=scope["state"]["request_id"],
        at=rt.clock.now(),
        ip=addresses.find(client[0] if client else None, forwarded, by_person=by_person),
        user_agent=_agent(scope),
        repeatable=scope["state"].get("repeatable"),
    )
    scope["state"].update(client_address=call.ip, budgets=call.budgets)
    return RequestContext(rt, call, state=scope["state"])


def _needed(scope: Scope) -> str:
    token = bearer(scope)
    if token is None:
        raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
    return token


async def _signed(
    context: RequestContext, token: str, authenticate: _Authenticate
) -> RequestContext:
    caller = await authenticate(context.rt, context.call, token)
    context.note(caller.actor_id, caller.tenant_id)
    return msgspec.structs.replace(
        context, call=msgspec.structs.replace(context.call, actor=caller)
    )


def _agent(scope: Scope) -> str:
    given = _values(scope, b"user-agent")
    text = (given[0] if given else b"").decode("utf-8", "replace")[:_LONGEST_AGENT]
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


__all__ = [
    "HTTP_1",
    "FromCaller",
    "RequestContext",
    "header",
    "headers",
    "is_json",
    "may_have_body",
    "media_type",
    "provide_administrator",
    "provide_by_cookie",
    "provide_caller",
    "provide_open",
    "provide_optional",
    "provide_password",
    "provide_person",
    "provide_sign_in",
    "provide_sign_out",
    "runtime",
]
