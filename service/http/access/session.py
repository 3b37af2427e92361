"""/auth: sign in, refresh, sign out, switch organization."""

from litestar import Response, Router, post
from litestar.di import Provide
from litestar.params import JSONBody
from msgspec import Struct

from service.flows.sessions.refresh import refresh
from service.flows.sessions.sign_in import Credentials, sign_in
from service.flows.sessions.sign_out import sign_out, sign_out_everywhere
from service.flows.sessions.switch_organization import switch_organization
from service.flows.shared.issuing import Granted
from service.http import cookies
from service.http.access.answers import SignedInAnswer, render_granted
from service.http.context import (
    FromCaller,
    RequestContext,
    provide_by_cookie,
    provide_person,
    provide_sign_in,
    provide_sign_out,
)
from service.http.field_types import Email, Password, Slug
from service.kernel.refusal import Reason, Refused


class SignInForm(Struct, frozen=True, forbid_unknown_fields=True):
    """E-mail, password and, for a member of several organizations, the organization."""

    email: Email
    password: Password
    organization: Slug | None = None


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object: everything needed is in the cookie."""


_NOTHING = Nothing()


class OrganizationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The slug of another organization of the person."""

    organization: Slug


@post("/login", status_code=200, dependencies={"context": Provide(provide_sign_in)})
async def login(context: FromCaller, data: JSONBody[SignInForm]) -> Response[SignedInAnswer]:
    """Sign in with e-mail and password."""
    given = Credentials(data.email, data.password, data.organization, context.device_token)
    return _granted(context, await sign_in(context.rt, context.call, given))


@post("/refresh", status_code=200, dependencies={"context": Provide(provide_by_cookie)})
async def renew(
    context: FromCaller,
    data: JSONBody[Nothing] = _NOTHING,  # noqa: ARG001 - checked by its type
) -> Response[SignedInAnswer]:
    """Refresh the session of the cookie."""
    if context.refresh_token is None:
        raise Refused(Reason.INVALID_GRANT, private="refresh: no cookie")
    return _granted(context, await refresh(context.rt, context.call, context.refresh_token))


@post("/logout", status_code=204, dependencies={"context": Provide(provide_sign_out)})
async def logout(context: FromCaller) -> Response[None]:
    """Sign out of this session."""
    await sign_out(context.rt, context.call, context.refresh_token)
    return _signed_out()


@post("/logout-all", status_code=204, dependencies={"context": Provide(provide_sign_out)})
async def logout_all(context: FromCaller) -> Response[None]:
    """Sign out of all sessions."""
    await sign_out_everywhere(context.rt, context.call, context.refresh_token)
    return _signed_out()


@post("/organization", status_code=200, dependencies={"context": Provide(provide_person)})
async def switch(context: FromCaller, data: JSONBody[OrganizationForm]) -> Response[SignedInAnswer]:
    """Switch to another of the person's organizations."""
    granted = await switch_organization(context.rt, context.call, context.person, data.organization)
    return _granted(context, granted)


def _granted(context: RequestContext, granted: Granted) -> Response[SignedInAnswer]:
    context.note(str(granted.grantee.user_id), granted.grantee.tenant_id)
    return render_granted(granted)


def _signed_out() -> Response[None]:
    return Response(None, status_code=204, cookies=[cookies.clear(cookies.REFRESH)])


router = Router("/auth", route_handlers=[login, renew, logout, logout_all, switch])
