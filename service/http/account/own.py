"""/auth: a signed-in person's own profile, sessions and password."""

from litestar import Response, Router, delete, get, put
from litestar.di import Provide
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from service.domain.sessions import LiveSession
from service.flows.account.me import describe_me
from service.flows.account.password import change_password
from service.flows.sessions.own import end_own_session, list_own_sessions
from service.http.access.answers import OrganizationAnswer, UserAnswer
from service.http.context import FromCaller, provide_password, provide_person
from service.http.field_types import Id, Moment, NewPassword, Password, PathId
from service.http.path_parameters import path_id
from service.kernel.call import Actor, Person
from service.kernel.ids import SessionId


class MeAnswer(Struct, frozen=True):
    """The person of the access token."""

    user: UserAnswer
    organization: OrganizationAnswer
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    session_id: Id
    expires_at: Moment


class SessionAnswer(Struct, frozen=True):
    """A session: one sign-in on one device."""

    id: Id
    tenant_id: Id
    created_at: Moment
    last_seen_at: Moment
    expires_at: Moment
    address: str | None
    agent: str
    current: bool


class SessionsAnswer(Struct, frozen=True):
    """All sessions of a person, on one page."""

    items: list[SessionAnswer]
    next_cursor: str | None = None


class PasswordForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The current password and the new one."""

    current_password: Password
    new_password: NewPassword


@get("/me")
async def me(context: FromCaller) -> MeAnswer:
    """Return the signed-in person."""
    person = context.person
    profile = await describe_me(context.rt, person)
    return MeAnswer(
        user=UserAnswer(str(person.user_id), profile.email, profile.name),
        organization=OrganizationAnswer(
            str(person.tenant_id), profile.slug, profile.organization, profile.role
        ),
        roles=person.roles,
        scopes=person.scopes,
        session_id=str(person.session_id),
        expires_at=person.expires_at,
    )


@get("/sessions")
async def list_sessions(context: FromCaller) -> SessionsAnswer:
    """Return the person's sessions, the newest first."""
    person = context.person
    live = await list_own_sessions(context.rt, context.call, person)
    return SessionsAnswer([render_session(one, person) for one in live])


@delete("/sessions/{session_id:str}", status_code=204)
async def end_session(context: FromCaller, session_id: FromPath[PathId]) -> None:
    """End one of the person's sessions."""
    await end_own_session(context.rt, context.call, context.person, SessionId(path_id(session_id)))


@put("/password", status_code=204, dependencies={"context": Provide(provide_password)})
async def put_password(context: FromCaller, data: JSONBody[PasswordForm]) -> Response[None]:
    """Change the password.  The person's other sessions end."""
    await change_password(
        context.rt,
        context.call,
        context.person,
        data.current_password,
        data.new_password,
        context.device_token,
    )
    return Response(None, status_code=204)


def render_session(session: LiveSession, asker: Actor) -> SessionAnswer:
    """Render a session for the caller."""
    return SessionAnswer(
        id=str(session.session_id),
        tenant_id=str(session.tenant_id),
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=session.expires_at,
        address=session.last_ip,
        agent=session.last_agent,
        current=isinstance(asker, Person) and session.session_id == asker.session_id,
    )


router = Router(
    "/auth",
    route_handlers=[me, list_sessions, end_session, put_password],
    dependencies={"context": Provide(provide_person)},
)
