"""The answers of sign-in, refresh and switching."""

from typing import Annotated

from litestar import Response
from msgspec import Meta, Struct

from service.flows.shared.issuing import Granted
from service.http import cookies
from service.http.field_types import Id, RoleName


class UserAnswer(Struct, frozen=True):
    """A person."""

    id: Id
    email: str
    name: str


class OrganizationAnswer(Struct, frozen=True):
    """An organization, and the person's role in it."""

    id: Id
    slug: str
    name: str
    role: RoleName


class SignedInAnswer(Struct, frozen=True):
    """A session's access token.  The refresh token is only in the cookie."""

    access_token: str
    token_type: str
    expires_in: Annotated[int, Meta(description="seconds")]
    session_id: Id
    user: UserAnswer
    organization: OrganizationAnswer


def render_granted(granted: Granted) -> Response[SignedInAnswer]:
    """Render a grant: the answer, the refresh cookie and, after a sign-in, the device cookie."""
    grantee = granted.grantee
    response = Response(
        SignedInAnswer(
            access_token=granted.access_token,
            token_type="Bearer",  # noqa: S106 - the type's name (RFC 6750)
            expires_in=granted.expires_in,
            session_id=str(grantee.session_id),
            user=UserAnswer(str(grantee.user_id), grantee.email, grantee.name),
            organization=OrganizationAnswer(
                str(grantee.tenant_id), grantee.slug, grantee.organization, grantee.role
            ),
        )
    )
    response.cookies.append(
        cookies.write(cookies.REFRESH, granted.refresh_token, granted.cookie_ttl)
    )
    if granted.device_token is not None:
        response.cookies.append(
            cookies.write(cookies.DEVICE, granted.device_token, granted.device_ttl)
        )
    return response
