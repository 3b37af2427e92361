"""/admin/users: the people of an organization.

`?tenant_id=` is for platform administrators, who may act in another's organization.
"""

from typing import Annotated

from litestar import Response, Router, delete, get, post, put
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from msgspec import Meta, Struct

from service.domain.users import Member, Role
from service.flows.people import members as people
from service.flows.people.erase_person import erase_person
from service.flows.people.invite import invite
from service.flows.trail.exports import begin_person
from service.http.admin.progress import written
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import Address, Cursor, Id, Limit, Moment, PathId, RoleName
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import organization, path_id
from service.kernel.ids import UserId


class InviteForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The e-mail to invite, and the role."""

    email: Address
    role: Role = "member"


class RoleForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The new role."""

    role: Role


class InvitedAnswer(Struct, frozen=True):
    """An invitation.  `link` is shown only once, at creation, and only if no mail was sent."""

    id: Id
    email: str
    role: RoleName
    expires_at: Moment
    link: Annotated[str | None, Meta(description="null when it was mailed or shown before")]


class MemberAnswer(Struct, frozen=True):
    """A person, as the administrators of an organization see them."""

    id: Id
    email: str
    name: str
    role: RoleName
    platform_admin: bool
    member_since: Moment
    disabled_at: Moment | None
    suspended_at: Moment | None
    has_password: bool


class MembersAnswer(Struct, frozen=True):
    """A page of members."""

    items: list[MemberAnswer]
    next_cursor: str | None


@get("/users")
async def list_members(
    context: FromCaller,
    tenant_id: FromQuery[Id | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> MembersAnswer:
    """List the members of an organization."""
    most, after = limit, read_cursor(context.rt, "users", cursor)
    there = organization(tenant_id)
    found = await people.list_members(context.rt, context.call, there, after, most)
    return MembersAnswer(
        [_member(one) for one in found],
        next_cursor(context.rt, "users", found, most, lambda one: one.user_id),
    )


@get("/users/{user_id:str}")
async def read_member(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> MemberAnswer:
    """Return a member of an organization."""
    who = UserId(path_id(user_id))
    there = organization(tenant_id)
    return _member(await people.read_member(context.rt, context.call, there, who))


@post("/users", status_code=201)
async def invite_user(
    context: FromCaller,
    data: JSONBody[InviteForm],
    tenant_id: FromQuery[Id | None] = None,
) -> Response[InvitedAnswer]:
    """Invite a person by mail; without a mail server, by the link in the answer."""
    made = await invite(context.rt, context.call, organization(tenant_id), data.email, data.role)
    answer = InvitedAnswer(
        str(made.invitation_id), made.email, made.role, made.expires_at, made.link
    )
    return Response(answer, status_code=201)


@put("/users/{user_id:str}/role")
async def change_role(
    context: FromCaller,
    user_id: FromPath[PathId],
    data: JSONBody[RoleForm],
    tenant_id: FromQuery[Id | None] = None,
) -> MemberAnswer:
    """Give a member another role."""
    who, there = UserId(path_id(user_id)), organization(tenant_id)
    return _member(await people.change_role(context.rt, context.call, there, who, data.role))


@post("/users/{user_id:str}/disable", status_code=204)
async def disable(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> None:
    """Suspend a membership.  Platform administrators without `tenant_id` disable the account."""
    who = UserId(path_id(user_id))
    await people.disable(context.rt, context.call, organization(tenant_id), who)


@post("/users/{user_id:str}/enable", status_code=204)
async def enable(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> None:
    """Resume a membership, or enable the account again."""
    who = UserId(path_id(user_id))
    await people.enable(context.rt, context.call, organization(tenant_id), who)


@post("/users/{user_id:str}/unlock", status_code=204)
async def unlock(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> None:
    """Lift the lockout of an account."""
    who = UserId(path_id(user_id))
    await people.unlock(context.rt, context.call, organization(tenant_id), who)


@delete("/users/{user_id:str}", status_code=204)
async def remove(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> None:
    """End a membership.  The person keeps the account."""
    who = UserId(path_id(user_id))
    await people.remove(context.rt, context.call, organization(tenant_id), who)


@post(
    "/users/{user_id:str}/personal-data/exports",
    status_code=201,
    media_type="application/x-ndjson",
)
async def export(
    context: FromCaller, user_id: FromPath[PathId], tenant_id: FromQuery[Id | None] = None
) -> Stream:
    """Write a person's data to a file of the organization's folder, and stream the progress.

    The file has the account, sessions, API keys, invitations and events, as lines of JSON with
    their `kind`.  The answer and the place of the file are those of an export of events.
    """
    who, there = UserId(path_id(user_id)), organization(tenant_id)
    return written(context, await begin_person(context.rt, context.call, there, who))


@delete("/users/{user_id:str}/personal-data", status_code=204)
async def erase(context: FromCaller, user_id: FromPath[PathId]) -> None:
    """Erase a person for good: account, sessions, keys, and personal fields in the audit trail.

    For platform administrators.  Ids and events stay.  It may be repeated.
    """
    await erase_person(context.rt, context.call, UserId(path_id(user_id)))


def _member(one: Member) -> MemberAnswer:
    return MemberAnswer(
        id=str(one.user_id),
        email=one.email,
        name=one.name,
        role=one.role,
        platform_admin=one.platform_admin,
        member_since=one.member_since,
        disabled_at=one.disabled_at,
        suspended_at=one.suspended_at,
        has_password=one.has_password,
    )


router = Router(
    "/admin",
    route_handlers=[
        list_members,
        read_member,
        invite_user,
        change_role,
        disable,
        enable,
        unlock,
        remove,
        export,
        erase,
    ],
    dependencies={"context": Provide(provide_administrator)},
)
