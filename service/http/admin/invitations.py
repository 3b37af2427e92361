"""/admin/invitations: what is open; inviting is POST /admin/users.

`?tenant_id=` is for platform administrators, who may look into another's organization.
"""

from litestar import Router, delete, get
from litestar.di import Provide
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from service.flows.people import invitations
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import Cursor, Id, Limit, Moment, PathId, RoleName
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import organization, path_id


class InvitationAnswer(Struct, frozen=True):
    """An open invitation.  Its link was shown once or mailed, and is not stored."""

    id: Id
    email: str
    role: RoleName
    invited_by: Id | None
    created_at: Moment
    expires_at: Moment


class InvitationsAnswer(Struct, frozen=True):
    """A page of open invitations."""

    items: list[InvitationAnswer]
    next_cursor: str | None


@get("/invitations")
async def list_open(
    context: FromCaller,
    tenant_id: FromQuery[Id | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> InvitationsAnswer:
    """List the open invitations of an organization."""
    most, after = limit, read_cursor(context.rt, "invitations", cursor)
    there = organization(tenant_id)
    found = await invitations.list_open(context.rt, context.call, there, after, most)
    return InvitationsAnswer(
        [
            InvitationAnswer(
                id=str(one.invitation_id),
                email=one.email,
                role=one.role,
                invited_by=str(one.invited_by) if one.invited_by else None,
                created_at=one.created_at,
                expires_at=one.expires_at,
            )
            for one in found
        ],
        next_cursor(context.rt, "invitations", found, most, lambda one: one.invitation_id),
    )


@delete("/invitations/{invitation_id:str}", status_code=204)
async def withdraw(context: FromCaller, invitation_id: FromPath[PathId]) -> None:
    """Withdraw an invitation.  Its link stops working."""
    await invitations.withdraw(context.rt, context.call, path_id(invitation_id))


router = Router(
    "/admin",
    route_handlers=[list_open, withdraw],
    dependencies={"context": Provide(provide_administrator)},
)
