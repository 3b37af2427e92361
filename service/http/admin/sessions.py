"""/admin: sessions, seen and ended by administrators."""

from litestar import Router, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from service.flows.admin.sessions import (
    end_organization_sessions,
    end_person_sessions,
    end_session,
    list_sessions,
)
from service.http.account.own import SessionAnswer, SessionsAnswer, render_session
from service.http.asked import FromCaller, provide_signed_in
from service.http.named import path_id
from service.http.text import Id, PathId
from service.kernel.ids import SessionId, TenantId, UserId


class EndedAnswer(Struct, frozen=True):
    """How many sessions were ended."""

    ended: int


@get("/sessions")
async def sessions_of(asked: FromCaller, user_id: FromQuery[Id]) -> SessionsAnswer:
    """Return the live sessions of a person, per device."""
    live = await list_sessions(asked.rt, asked.call, UserId(path_id(user_id)))
    items: list[SessionAnswer] = [render_session(one, asked.person) for one in live]
    return SessionsAnswer(items)


@delete("/sessions/{session_id:str}", status_code=204)
async def end_one(asked: FromCaller, session_id: FromPath[PathId]) -> None:
    """End one session."""
    await end_session(asked.rt, asked.call, SessionId(path_id(session_id)))


@post("/users/{user_id:str}/end-sessions", status_code=200)
async def end_of_person(asked: FromCaller, user_id: FromPath[PathId]) -> EndedAnswer:
    """End all sessions of a person."""
    return EndedAnswer(await end_person_sessions(asked.rt, asked.call, UserId(path_id(user_id))))


@post("/organizations/{tenant_id:str}/end-sessions", status_code=200)
async def end_of_organization(asked: FromCaller, tenant_id: FromPath[PathId]) -> EndedAnswer:
    """End every session of an organization."""
    return EndedAnswer(
        await end_organization_sessions(asked.rt, asked.call, TenantId(path_id(tenant_id)))
    )


router = Router(
    "/admin",
    route_handlers=[sessions_of, end_one, end_of_person, end_of_organization],
    dependencies={"asked": Provide(provide_signed_in)},
)
