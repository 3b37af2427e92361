"""/auth: sign in, renew, sign out, switch organization."""

from litestar import Response, Router, post
from litestar.di import Provide
from litestar.params import JSONBody
from msgspec import Struct

from service.flows.access.granting import Granted
from service.flows.access.refresh import refresh
from service.flows.access.sign_in import Credentials, sign_in
from service.flows.access.sign_out import sign_out, sign_out_everywhere
from service.flows.access.switch_organization import switch_organization
from service.http import cookies
from service.http.access.answers import SignedInAnswer, render_granted
from service.http.asked import (
    Asked,
    FromCaller,
    provide_by_cookie,
    provide_sign_in,
    provide_sign_out,
    provide_signed_in,
)
from service.http.text import Email, Password, Slug
from service.kernel.refusal import Reason, Refused


class SignInForm(Struct, frozen=True, forbid_unknown_fields=True):
    """E-mail, password, and the organization for people who are in several."""

    email: Email
    password: Password
    organization: Slug | None = None


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object: the cookie says it all."""


_NOTHING = Nothing()


class OrganizationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The slug of another of one's organizations."""

    organization: Slug


@post("/login", status_code=200, dependencies={"asked": Provide(provide_sign_in)})
async def login(asked: FromCaller, data: JSONBody[SignInForm]) -> Response[SignedInAnswer]:
    """Sign in with e-mail and password."""
    given = Credentials(data.email, data.password, data.organization, asked.device_token)
    return _granted(asked, await sign_in(asked.rt, asked.call, given))


@post("/refresh", status_code=200, dependencies={"asked": Provide(provide_by_cookie)})
async def renew(
    asked: FromCaller,
    data: JSONBody[Nothing] = _NOTHING,  # noqa: ARG001 - checked at the gate
) -> Response[SignedInAnswer]:
    """Renew the session of the refresh cookie."""
    if asked.refresh_token is None:
        raise Refused(Reason.INVALID_GRANT, private="refresh: no cookie")
    return _granted(asked, await refresh(asked.rt, asked.call, asked.refresh_token))


@post("/logout", status_code=204, dependencies={"asked": Provide(provide_sign_out)})
async def logout(asked: FromCaller) -> Response[None]:
    """Sign out of this session."""
    await sign_out(asked.rt, asked.call, asked.refresh_token)
    return _signed_out()


@post("/logout-all", status_code=204, dependencies={"asked": Provide(provide_sign_out)})
async def logout_all(asked: FromCaller) -> Response[None]:
    """Sign out of every session one has."""
    await sign_out_everywhere(asked.rt, asked.call, asked.refresh_token)
    return _signed_out()


@post("/organization", status_code=200, dependencies={"asked": Provide(provide_signed_in)})
async def switch(asked: FromCaller, data: JSONBody[OrganizationForm]) -> Response[SignedInAnswer]:
    """Go on in another of one's organizations."""
    granted = await switch_organization(asked.rt, asked.call, asked.person, data.organization)
    return _granted(asked, granted)


def _granted(asked: Asked, granted: Granted) -> Response[SignedInAnswer]:
    asked.note(str(granted.grantee.user_id), granted.grantee.tenant_id)
    return render_granted(granted)


def _signed_out() -> Response[None]:
    return Response(None, status_code=204, cookies=[cookies.clear(cookies.REFRESH)])


router = Router("/auth", route_handlers=[login, renew, logout, logout_all, switch])
