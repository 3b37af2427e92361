"""A person lists their own sessions, and ends one."""

from service.domain import audit, sessions
from service.domain.audit import events
from service.domain.sessions import LiveSession, Why
from service.flows.shared.ending import close_sessions
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
        ended = await sessions.end_one(tx, session_id, person.user_id, call.at, Why.ENDED_BY_OWNER)
        if ended is None:
            raise Refused(Reason.NOT_FOUND, "no such session")
        await audit.record(
            tx,
            call,
            events.SessionEnded(
                tenant_id=ended.tenant_id,
                user_id=person.user_id,
                session_id=session_id,
                why=Why.ENDED_BY_OWNER,
            ),
        )
        await close_sessions(call, tx, [ended], "ended by its owner")
