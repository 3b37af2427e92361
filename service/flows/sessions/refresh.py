"""Renew a session with its refresh token."""

import msgspec
from msgspec import Struct

from service.domain import audit, families
from service.domain.audit import events
from service.domain.clients import CONSOLE
from service.domain.families import Family, Grace, PresentedToken, Standing, State, ToRotate
from service.flows.shared import limiting
from service.flows.shared.ending import Cause, One, end
from service.flows.shared.issuing import Granted, Grantee, grant, minter, narrowed, where
from service.kernel import metrics
from service.kernel.call import Call
from service.kernel.postgres import Decision
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.policy import seconds
from service.runtime import Runtime


async def refresh(
    rt: Runtime, call: Call, given: str, client_id: str = CONSOLE, scope: str | None = None
) -> Granted:
    """Rotate a refresh token and issue an access token.

    The routine case is one round trip; every other case is decided under the session's lock.
    `client_id` is the client that presents the token.  `scope` narrows only the access token: the
    refresh token keeps its scopes (RFC 6749 section 6).  A superseded token that an honest client
    may send gets the current token again.

    Refused(INVALID_GRANT) for an unknown, ended, expired or replayed token; a replay burns the
    family.  A token of another client is refused and burns nothing: its owner has not used it.
    Refused(INVALID_SCOPE) for a scope that the person's role does not hold; nothing is rotated.
    """
    presented = minter(rt).read(given)
    if presented is None:
        raise _no("unknown token")
    await limiting.spend(rt, "refresh", rt.policy.limits.refresh, presented.handle_hash.hex()[:32])
    text, successor = minter(rt).token(presented.handle, presented.generation + 1)
    roles = None if scope is None else _roles_holding(rt, scope)
    rotation = await rt.rotations.rotate(
        presented, successor, call.at, where(call), client_id, roles
    )
    if rotation is None:
        grantee, text = await _decide(rt, call, _Asked(presented, client_id, scope))
    else:
        grantee = msgspec.convert(rotation, Grantee, from_attributes=True)
    scopes = None if scope is None else _narrowed(rt, scope, grantee.role)
    return await grant(rt, call, grantee, text, grant_type="refresh_token", scopes=scopes)


def _roles_holding(rt: Runtime, scope: str) -> tuple[str, ...]:
    asked = set(scope.split())
    return tuple(
        role for role, held in rt.policy.role_scopes.items() if asked and asked <= set(held)
    )


def _narrowed(rt: Runtime, scope: str, role: str) -> tuple[str, ...]:
    return narrowed(scope, rt.policy.role_scopes.get(role, ()))


class _Asked(Struct, frozen=True):
    presented: PresentedToken
    client_id: str
    scope: str | None


async def _decide(rt: Runtime, call: Call, asked: _Asked) -> tuple[Grantee, str]:
    """Decide the cases that are not routine: a superseded token, a session that moved or ended.

    When nothing changes, the answer comes from a read without a lock.  A transaction with the lock
    would wait, at its commit, for the same lost standby that made the client ask again.
    """
    presented = asked.presented
    async with rt.pg.reading() as tx:
        seen = await _judge(rt, call, asked, tx, await families.find(tx, presented.handle_hash))
    if seen.state is State.SUPERSEDED:
        text, _ = minter(rt).token(presented.handle, seen.family.generation)
        return seen.grantee(), text
    async with (
        rt.rotations.confirming([ToRotate(presented, call.at)]) as sent,
        rt.pg.decision() as tx,
    ):
        held = await families.lock(tx, presented.handle_hash)
        seen = await _judge(rt, call, asked, tx, held)
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
                await _burn(call, tx, presented, seen.family)
                raise _no("replayed")
            case State.ENDED | State.EXPIRED as dead:
                raise _no(f"family {dead}")
    return grantee, text


class _Judged(Struct, frozen=True):
    family: Family
    standing: Standing | None
    state: State

    def grantee(self) -> Grantee:
        """Return the person to issue a token to.  Refused(INVALID_GRANT) when they may not act."""
        if self.standing is None:
            raise _no("the person, organization or client may not act")
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


async def _judge(rt: Runtime, call: Call, asked: _Asked, tx: Tx, family: Family | None) -> _Judged:
    """Judge a token of this client.  The scope is checked only if the session is live."""
    if family is None:
        raise _no("unknown family")
    if family.client_id != asked.client_id:
        raise _no("token of another client")
    standing = await families.find_standing(tx, family.session_id)
    tokens = rt.policy.tokens_for(standing.policy if standing else None)
    grace = Grace(seconds(tokens.refresh_grace), seconds(tokens.lost_answer_grace))
    state = family.state(asked.presented, call.at, where(call), grace)
    over = state is State.ENDED or state is State.EXPIRED
    if asked.scope is not None and standing is not None and not over:
        _narrowed(rt, asked.scope, standing.role)
    return _Judged(family, standing, state)


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


async def _burn(call: Call, tx: Decision, presented: PresentedToken, family: Family) -> None:
    """One of the two who hold this token is a thief, and we cannot tell which."""
    metrics.reuse.inc()
    burned = events.FamilyBurned(
        tenant_id=family.tenant_id,
        user_id=family.user_id,
        session_id=family.session_id,
        presented_generation=presented.generation,
        current_generation=family.generation,
    )
    stolen = One(family.user_id, family.session_id)
    await end(call, tx, stolen, Cause.REPLAYED, told=[burned])


def _no(private: str) -> Refused:
    return Refused(Reason.INVALID_GRANT, private=f"refresh: {private}")
