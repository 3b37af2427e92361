"""/admin: administrators list and end sessions."""

from litestar import Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from service.flows.sessions.administer import (
    end_organization_sessions,
    end_person_sessions,
    end_session,
    list_sessions,
)
from service.http.account.own import SessionAnswer, SessionsAnswer, render_session
from service.http.context import FromCaller, provide_administrator
from service.http.field_types import Id, PathId
from service.http.path_parameters import path_id
from service.kernel.ids import SessionId, TenantId, UserId


class EndedAnswer(Struct, frozen=True):
    """How many sessions were ended."""

    ended: int


@get("/sessions")
async def sessions_of(context: FromCaller, user_id: FromQuery[Id]) -> SessionsAnswer:
    """Return the live sessions of a person."""
    live = await list_sessions(context.rt, context.call, UserId(path_id(user_id)))
    items: list[SessionAnswer] = [render_session(one, context.call.actor) for one in live]
    return SessionsAnswer(items)


@delete("/sessions/{session_id:str}", status_code=204)
async def end_one(context: FromCaller, session_id: FromPath[PathId]) -> None:
    """End one session."""
    await end_session(context.rt, context.call, SessionId(path_id(session_id)))


@post("/users/{user_id:str}/end-sessions", status_code=200)
async def end_of_person(context: FromCaller, user_id: FromPath[PathId]) -> EndedAnswer:
    """End all sessions of a person."""
    return EndedAnswer(
        await end_person_sessions(context.rt, context.call, UserId(path_id(user_id)))
    )


@post("/organizations/{tenant_id:str}/end-sessions", status_code=200)
async def end_of_organization(context: FromCaller, tenant_id: FromPath[PathId]) -> EndedAnswer:
    """End every session of an organization."""
    return EndedAnswer(
        await end_organization_sessions(context.rt, context.call, TenantId(path_id(tenant_id)))
    )


router = Router(
    "/admin",
    route_handlers=[sessions_of, end_one, end_of_person, end_of_organization],
    dependencies={"context": Provide(provide_administrator)},
)
