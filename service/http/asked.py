"""What a wire is handed: the runtime, the call, and who is calling.  One dependency, not five."""

from typing import Any, TypeAlias

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct

from service.flows.apikeys.bearer import authenticate_bearer
from service.http import cookies
from service.http.address import client_address
from service.kernel.call import ApiKey, Call, Machine, Person
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_LONGEST_AGENT = 512


class Asked(Struct, frozen=True):
    """One request, as far as a wire needs it."""

    rt: Runtime
    call: Call
    refresh_token: str | None = None
    device_token: str | None = None

    @property
    def person(self) -> Person:
        """Return who is signed in.  Refused(UNAUTHENTICATED) when nobody is."""
        if not isinstance(self.call.actor, Person):
            raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
        return self.call.actor


FromCaller: TypeAlias = NamedDependency[SkipValidation[Asked]]
"""How a handler asks for it."""


async def provide_open(request: Request[Any, Any, State]) -> Asked:
    """For routes that anyone may call."""
    return _asked(request)


async def provide_signed_in(request: Request[Any, Any, State]) -> Asked:
    """For routes of a signed-in person: `Authorization: Bearer`.  Refused(UNAUTHENTICATED)."""
    asked = _asked(request)
    token = bearer(request)
    if token is None:
        raise Refused(Reason.UNAUTHENTICATED, private="no bearer token")
    return await _signed(request, asked, token)


async def provide_optional(request: Request[Any, Any, State]) -> Asked:
    """For routes that anyone may call, and that know who is signed in where somebody is."""
    asked = _asked(request)
    token = bearer(request)
    return asked if token is None else await _signed(request, asked, token)


async def provide_caller(request: Request[Any, Any, State]) -> Asked:
    """For routes of services and people alike; what each may do, the flow says."""
    return await provide_signed_in(request)


async def provide_by_cookie(request: Request[Any, Any, State]) -> Asked:
    """For routes that act on the refresh cookie.

    Clients send their last bearer token along, expired or not: it says nothing here.  Refused:
    FORBIDDEN from a page of another origin; UNSUPPORTED_MEDIA unless JSON is sent, so that no page
    elsewhere can cause it without a preflight.
    """
    refuse_foreign_page(request)
    asked = _asked(request)
    refresh_token = cookies.read(request.scope["headers"], cookies.REFRESH)
    if refresh_token is not None and not is_json(request):
        raise Refused(Reason.UNSUPPORTED_MEDIA, "send application/json")
    return msgspec.structs.replace(asked, refresh_token=refresh_token)


async def provide_sign_out(request: Request[Any, Any, State]) -> Asked:
    """For getting out, by cookie, by bearer token or by both; a token that expired is as none."""
    asked = await provide_by_cookie(request)
    try:
        token = bearer(request)
        return await _signed(request, asked, token) if token is not None else asked
    except Refused as refused:
        if refused.reason is not Reason.UNAUTHENTICATED:
            raise
        return asked


async def provide_sign_in(request: Request[Any, Any, State]) -> Asked:
    """For signing in: no page of another origin may do it in a visitor's name."""
    refuse_foreign_page(request)
    return msgspec.structs.replace(
        _asked(request), device_token=cookies.read(request.scope["headers"], cookies.DEVICE)
    )


async def provide_password(request: Request[Any, Any, State]) -> Asked:
    """For the change of a password: signed in, and the device's own strikes."""
    asked = await provide_signed_in(request)
    return msgspec.structs.replace(
        asked, device_token=cookies.read(request.scope["headers"], cookies.DEVICE)
    )


def refuse_foreign_page(request: Request[Any, Any, State]) -> None:
    """Refuse what a page of an origin that is not allowed makes a browser send."""
    settings = request.app.state.rt.settings
    origins = request.headers.getall("origin", [])
    if origins:  # a browser sends one
        allowed = len(origins) == 1 and origins[0] in {settings.issuer, *settings.allowed_origins}
    else:
        allowed = request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if not allowed:
        raise Refused(Reason.FORBIDDEN, "this origin is not allowed")


def is_json(request: Request[Any, Any, State]) -> bool:
    """Tell whether the body is declared as JSON."""
    return request.content_type[0].lower() == "application/json"


def bearer(request: Request[Any, Any, State]) -> str | None:
    """Return the bearer token (RFC 6750 section 2.1), never from a query or a form."""
    given = request.headers.getall("authorization", [])
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        raise Refused(Reason.UNAUTHENTICATED, private="Authorization is not one bearer token")
    return token.strip(" ")


def _asked(request: Request[Any, Any, State]) -> Asked:
    rt: Runtime = request.app.state.rt
    scope = request.scope
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    client = scope.get("client")
    call = Call(
        request_id=scope["state"]["request_id"],
        at=rt.clock.now(),
        ip=client_address(
            client[0] if client else None,
            [value for name, value in headers if name == b"x-forwarded-for"],
            request.app.state.trusted,
        ),
        user_agent=_agent(headers),
    )
    scope["state"]["client_address"] = call.ip
    return Asked(rt, call)


async def _signed(request: Request[Any, Any, State], asked: Asked, token: str) -> Asked:
    caller = await authenticate_bearer(asked.rt, asked.call, token)
    _note_caller(request, caller)
    return msgspec.structs.replace(asked, call=msgspec.structs.replace(asked.call, actor=caller))


def _note_caller(request: Request[Any, Any, State], caller: Person | Machine | ApiKey) -> None:
    """Name the caller in the access log."""
    tenant_id = str(caller.tenant_id) if caller.tenant_id else None
    request.scope["state"].update(actor_id=caller.actor_id, tenant_id=tenant_id)


def _agent(headers: list[tuple[bytes, bytes]]) -> str:
    given = next((value for name, value in headers if name == b"user-agent"), b"")
    text = given.decode("utf-8", "replace")[:_LONGEST_AGENT]
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


__all__ = [
    "Asked",
    "FromCaller",
    "provide_by_cookie",
    "provide_caller",
    "provide_open",
    "provide_optional",
    "provide_password",
    "provide_sign_in",
    "provide_sign_out",
    "provide_signed_in",
]
