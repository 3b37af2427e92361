"""Renew a session with its refresh token."""

from datetime import timedelta

import msgspec

from service.domain import audit, families, sessions
from service.domain.audit import events
from service.domain.families import Family, Presented, State, Status
from service.domain.revocations import Revocation
from service.domain.sessions import Why
from service.flows.access import limiting
from service.flows.access.ending import close_sessions
from service.flows.access.granting import Granted, Grantee, grant, minter, where
from service.kernel import metrics
from service.kernel.call import Call
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


async def refresh(
    rt: Runtime, call: Call, given: str, scopes: tuple[str, ...] | None = None
) -> Granted:
    """Rotate.  The routine case is one round trip; all else is decided under the session's lock.

    Refused(INVALID_GRANT): unknown, ended, expired, or replayed - and then the family is burned.
    A retry within the grace, after a lost answer, is given the same successor again.

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


async def _decide(rt: Runtime, call: Call, presented: Presented) -> tuple[Grantee, str]:
    """Decide what is not routine: a retry, a replay, a session that moved or ended."""
    burned: list[Revocation] = []
    try:
        async with rt.pg.decision() as tx:
            family = await families.lock(tx, presented.handle_hash)
            if family is None:
                raise _no("unknown family")
            standing = await families.find_standing(tx, family.session_id)
            grace = timedelta(
                seconds=rt.policy.tokens_for(standing.policy if standing else None).refresh_grace
            )
            match family.state(presented, call.at, grace):
                case State.CURRENT if presented.token_hash != family.token_hash:
                    raise _no("token of another key")
                case State.CURRENT | State.PREVIOUS if standing is None:
                    raise _no("the person or organization may not act")
                case State.CURRENT:
                    text = await _rotate(rt, call, tx, presented, family)
                case State.PREVIOUS:
                    text, _ = minter(rt).token(presented.handle, family.generation)
                case State.REPLAYED:
                    burned = await _burn(call, tx, presented, family)
                    raise _no("replayed")
                case State.ENDED | State.EXPIRED as dead:
                    raise _no(f"family {dead}")
    finally:
        await rt.revocations.announce(burned)
    assert standing is not None  # noqa: S101 - refused above otherwise
    grantee = Grantee(
        **msgspec.structs.asdict(standing),
        user_id=family.user_id,
        tenant_id=family.tenant_id,
        session_id=family.session_id,
        client_id=family.client_id,
        auth_time=family.auth_time,
        amr=family.amr,
        absolute_expires_at=family.absolute_expires_at,
    )
    return grantee, text


async def _rotate(rt: Runtime, call: Call, tx: Tx, presented: Presented, family: Family) -> str:
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


async def _burn(call: Call, tx: Tx, presented: Presented, family: Family) -> list[Revocation]:
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
