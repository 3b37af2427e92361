"""/auth/invitations: accept an invitation."""

from typing import Annotated

from litestar import Router, post
from litestar.di import Provide
from litestar.params import JSONBody
from msgspec import Meta, Struct

from service.flows.people.invite import accept
from service.http.context import FromCaller, provide_optional
from service.http.field_types import Id, Name, Password, Slug


class AcceptForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The secret of the link, a password and, for a new person, a name."""

    token: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+\Z")]
    password: Password | None = None
    name: Name | None = None


class AcceptedAnswer(Struct, frozen=True):
    """The person who may now sign in, and the organization."""

    user_id: Id
    email: str
    organization: Slug


@post("/accept", status_code=200)
async def accept_invitation(context: FromCaller, data: JSONBody[AcceptForm]) -> AcceptedAnswer:
    """Accept an invitation.  A person with an account sends its access token or its password."""
    accepted = await accept(context.rt, context.call, data.token, data.password, data.name or "")
    account = accepted.account
    return AcceptedAnswer(str(account.user_id), account.email, accepted.slug)


router = Router(
    "/auth/invitations",
    route_handlers=[accept_invitation],
    dependencies={"context": Provide(provide_optional)},
)
