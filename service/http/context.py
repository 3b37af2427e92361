"""What a wire is handed: the runtime, the call, and who is calling.  One dependency, not five."""

from typing import TypeAlias

import msgspec
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.types import Scope
from msgspec import Struct

from service.flows.apikeys.bearer import authenticate_bearer
from service.http import cookies
from service.http.address import ClientAddresses
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

HTTP_1 = frozenset({"1", "1.0", "1.1"})
"""The versions of HTTP that ASGI servers name for HTTP/1.x."""
_LONGEST_AGENT = 512


class RequestContext(Struct, frozen=True):
    """One request, as far as a wire needs it."""

    rt: Runtime
    call: Call
    refresh_token: str | None = None
    device_token: str | None = None
    state: dict[str, object] = {}
    """What the access log is told of the request."""

    def note(self, actor_id: str | None, tenant_id: TenantId | None) -> None:
        """Name in the access log who it was, and the organization whose line it is."""
        self.state.update(actor_id=actor_id, tenant_id=str(tenant_id) if tenant_id else None)

    @property
    def person(self) -> Person:
        """Return who is signed in.  Refused(UNAUTHENTICATED) when nobody is."""
        if not isinstance(self.call.actor, Person):
            raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
        return self.call.actor


FromCaller: TypeAlias = NamedDependency[SkipValidation[RequestContext]]
"""How a handler asks for it."""


async def provide_open(scope: Scope) -> RequestContext:
    """For routes that anyone may call."""
    return _asked(scope)


async def provide_signed_in(scope: Scope) -> RequestContext:
    """For routes of a signed-in person: `Authorization: Bearer`.  Refused(UNAUTHENTICATED)."""
    context = _asked(scope)
    token = bearer(scope)
    if token is None:
        raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
    return await _signed(context, token)


async def provide_optional(scope: Scope) -> RequestContext:
    """For routes that anyone may call, and that know who is signed in where somebody is."""
    context = _asked(scope)
    token = bearer(scope)
    return context if token is None else await _signed(context, token)


async def provide_caller(scope: Scope) -> RequestContext:
    """For routes of services and people alike; what each may do, the flow says."""
    return await provide_signed_in(scope)


async def provide_by_cookie(scope: Scope) -> RequestContext:
    """For routes that act on the refresh cookie.

    Clients send their last bearer token along, expired or not: it says nothing here.  Refused:
    FORBIDDEN from a page of another origin; UNSUPPORTED_MEDIA unless JSON is sent, so that no page
    elsewhere can cause it without a preflight.
    """
    refuse_foreign_page(scope)
    context = _asked(scope)
    refresh_token = cookies.read(scope["headers"], cookies.REFRESH)
    if refresh_token is not None and not is_json(scope):
        raise Refused(Reason.UNSUPPORTED_MEDIA, "send application/json")
    return msgspec.structs.replace(context, refresh_token=refresh_token)


async def provide_sign_out(scope: Scope) -> RequestContext:
    """For getting out, by cookie, by bearer token or by both; a token that expired is as none."""
    context = await provide_by_cookie(scope)
    try:
        token = bearer(scope)
        return await _signed(context, token) if token is not None else context
    except Refused as refused:
        if refused.reason is not Reason.UNAUTHENTICATED:
            raise
        return context


async def provide_sign_in(scope: Scope) -> RequestContext:
    """For signing in: no page of another origin may do it in a visitor's name."""
    refuse_foreign_page(scope)
    return msgspec.structs.replace(
        _asked(scope, by_person=True),
        device_token=cookies.read(scope["headers"], cookies.DEVICE),
    )


async def provide_password(scope: Scope) -> RequestContext:
    """For the change of a password: signed in, and the device's own strikes."""
    context = await provide_signed_in(scope)
    return msgspec.structs.replace(
        context, device_token=cookies.read(scope["headers"], cookies.DEVICE)
    )


def refuse_foreign_page(scope: Scope) -> None:
    """Refuse what a page of an origin that is not allowed makes a browser send."""
    settings = runtime(scope).settings
    origins = headers(scope, b"origin")
    if origins:  # a browser sends one
        allowed = len(origins) == 1 and origins[0] in {settings.issuer, *settings.allowed_origins}
    else:
        allowed = header(scope, b"sec-fetch-site") in (None, "none", "same-origin")
    if not allowed:
        raise Refused(Reason.FORBIDDEN, "this origin is not allowed")


def is_json(scope: Scope) -> bool:
    """Tell whether the body is declared as JSON."""
    return media_type(scope) == "application/json"


def media_type(scope: Scope) -> str:
    """Return what the body is declared as, without parameters; empty when it is not."""
    return (header(scope, b"content-type") or "").partition(";")[0].strip().lower()


def may_have_body(scope: Scope) -> bool:
    """Tell whether a body may come with the request.

    HTTP/1.x announces it in a header (RFC 9112 section 6.3).  HTTP/2 need not (RFC 9113 section
    8.1): only reading tells.
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
    """Return the values of a header, by its name in lower case, as ASGI has it."""
    return [value.decode("latin-1") for value in _values(scope, name)]


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header, or None."""
    return next(iter(headers(scope, name)), None)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    """Most requests lack most headers: the shell knows which there are, and nobody walks them."""
    if name not in scope["state"]["headers"]:
        return []
    return [value for given, value in scope["headers"] if given == name]


def runtime(scope: Scope) -> Runtime:
    """Return the runtime of the application that serves this."""
    rt: Runtime = scope["litestar_app"].state.rt
    return rt


def _asked(scope: Scope, *, by_person: bool = False) -> RequestContext:
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


async def _signed(context: RequestContext, token: str) -> RequestContext:
    caller = await authenticate_bearer(context.rt, context.call, token)
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
    "FromCaller",
    "RequestContext",
    "provide_by_cookie",
    "provide_caller",
    "provide_open",
    "provide_optional",
    "provide_password",
    "provide_sign_in",
    "provide_sign_out",
    "provide_signed_in",
]
