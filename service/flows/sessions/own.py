"""A person lists their own sessions, and ends one."""

from service.domain import sessions
from service.domain.sessions import LiveSession
from service.flows.shared.ending import Cause, One, end
from service.kernel.call import Call, Person
from service.kernel.ids import SessionId
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def list_own_sessions(rt: Runtime, call: Call, person: Person) -> list[LiveSession]:
    """Return the person's live sessions, the newest first."""
    async with rt.pg.reading() as tx:
        return await sessions.list_live(tx, person.user_id, call.at)


async def end_own_session(rt: Runtime, call: Call, person: Person, session_id: SessionId) -> None:
    """End one session.  Refused(NOT_FOUND), also for an ended or another person's session."""
    async with rt.pg.decision() as tx:
        if not await end(call, tx, One(person.user_id, session_id), Cause.ENDED_BY_OWNER):
            raise Refused(Reason.NOT_FOUND, "no such session")
