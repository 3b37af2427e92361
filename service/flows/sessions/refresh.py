"""Renew a session with its refresh token."""

import msgspec
from msgspec import Struct

from service.domain import audit, families, sessions
from service.domain.audit import events
from service.domain.families import Family, Grace, PresentedToken, Standing, State, Status, ToRotate
from service.domain.revocations import Revocation
from service.domain.sessions import Why
from service.flows.shared import limiting
from service.flows.shared.ending import close_sessions
from service.flows.shared.issuing import Granted, Grantee, grant, minter, where
from service.kernel import metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime


async def refresh(
    rt: Runtime, call: Call, given: str, scopes: tuple[str, ...] | None = None
) -> Granted:
    """Rotate.  The routine case is one round trip; all else is decided under the session's lock.

    Refused(INVALID_GRANT): unknown, ended, expired, or replayed - and then the family is burned.
    A superseded token that an honest client may send is given the current one again.

    `scopes` are those the access token is to hold, None: all of the role's.
    """
    presented = minter(rt).read(given)
    if presented is None:
        raise _no("unknown token")
    await limiting.spend(rt, "refresh", rt.policy.limits.refresh, presented.handle_hash.hex()[:32])
    text, successor = minter(rt).token(presented.handle, presented.generation + 1)
    rotation = await rt.rotations.rotate(presented, successor, call.at, where(call))
    if rotation is None:
        grantee, text = await _decide(rt, call, presented)
    else:
        grantee = msgspec.convert(rotation, Grantee, from_attributes=True)
    return await grant(rt, call, grantee, text, grant_type="refresh_token", scopes=scopes)


async def _decide(rt: Runtime, call: Call, presented: PresentedToken) -> tuple[Grantee, str]:
    """Decide what is not routine: a superseded token, a session that moved or ended.

    What changes nothing is answered from a reading: a transaction that holds the row would wait, at
    its commit, for the very standby whose loss made the client ask again.
    """
    async with rt.pg.reading() as tx:
        seen = await _judge(rt, call, presented, tx, await families.find(tx, presented.handle_hash))
    if seen.state is State.SUPERSEDED:
        text, _ = minter(rt).token(presented.handle, seen.family.generation)
        return seen.grantee(), text
    burned: list[Revocation] = []
    try:
        async with (
            rt.rotations.confirming([ToRotate(presented, call.at)]) as sent,
            rt.pg.decision() as tx,
        ):
            held = await families.lock(tx, presented.handle_hash)
            seen = await _judge(rt, call, presented, tx, held)
            match seen.state:
                case State.CURRENT if presented.token_hash != seen.family.token_hash:
                    raise _no("token of another key")
                case State.CURRENT:
                    grantee = seen.grantee()
                    sent()
                    text = await _rotate(rt, call, tx, presented, seen.family)
                case State.SUPERSEDED:
                    grantee = seen.grantee()
                    text, _ = minter(rt).token(presented.handle, seen.family.generation)
                case State.REPLAYED:
                    burned = await _burn(call, tx, presented, seen.family)
                    raise _no("replayed")
                case State.ENDED | State.EXPIRED as dead:
                    raise _no(f"family {dead}")
    finally:
        await rt.revocations.announce(burned)
    return grantee, text


class _Judged(Struct, frozen=True):
    family: Family
    standing: Standing | None
    state: State

    def grantee(self) -> Grantee:
        """Return who is given a token.  Refused when they may not act."""
        if self.standing is None:
            raise _no("the person or organization may not act")
        family = self.family
        return Grantee(
            **msgspec.structs.asdict(self.standing),
            user_id=family.user_id,
            tenant_id=family.tenant_id,
            session_id=family.session_id,
            client_id=family.client_id,
            auth_time=family.auth_time,
            amr=family.amr,
            absolute_expires_at=family.absolute_expires_at,
        )


async def _judge(
    rt: Runtime, call: Call, presented: PresentedToken, tx: Tx, family: Family | None
) -> _Judged:
    if family is None:
        raise _no("unknown family")
    standing = await families.find_standing(tx, family.session_id)
    tokens = rt.policy.tokens_for(standing.policy if standing else None)
    grace = Grace(seconds(tokens.refresh_grace), seconds(tokens.lost_answer_grace))
    return _Judged(family, standing, family.state(presented, call.at, where(call), grace))


async def _rotate(
    rt: Runtime, call: Call, tx: Tx, presented: PresentedToken, family: Family
) -> str:
    here = where(call)
    text, successor = minter(rt).token(presented.handle, presented.generation + 1)
    await families.advance(tx, family, successor, call.at, here)
    if family.moved(here):
        moved = events.SessionMoved(
            tenant_id=family.tenant_id,
            user_id=family.user_id,
            session_id=family.session_id,
            network_before=family.last_network,
            network_now=here.network,
            agent_changed=family.last_agent != here.agent,
        )
        await audit.record(tx, call, moved)
    elif family.recorded:
        rotated = events.TokenRotated(
            tenant_id=family.tenant_id,
            user_id=family.user_id,
            session_id=family.session_id,
            generation=successor.generation,
        )
        await audit.record(tx, call, rotated)
    return text


async def _burn(call: Call, tx: Tx, presented: PresentedToken, family: Family) -> list[Revocation]:
    """One of the two who hold this token is a thief, and we cannot tell which."""
    metrics.reuse.inc()
    ended = await sessions.end_one(tx, family.session_id, family.user_id, call.at, Why.REPLAYED)
    await audit.record(
        tx,
        call,
        events.FamilyBurned(
            tenant_id=family.tenant_id,
            user_id=family.user_id,
            session_id=family.session_id,
            presented_generation=presented.generation,
            current_generation=family.generation,
        ),
    )
    return await close_sessions(
        call, tx, [ended] if ended else [], "refresh token replayed", Status.BURNED
    )


def _no(private: str) -> Refused:
    return Refused(Reason.INVALID_GRANT, private=f"refresh: {private}")
