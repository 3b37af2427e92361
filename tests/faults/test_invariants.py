"""The invariants see what they are for: each violation is planted once, in a good database."""

import contextlib
from collections.abc import Callable

import httpx2
import pytest

from faults.invariants import STATEMENTS, check_standing, search_canaries
from faults.report import Report
from service.runtime import Runtime
from tests import given
from tests.http import asking

Browser = Callable[..., httpx2.AsyncClient]

PLANTED = {
    "a live family of a session": "UPDATE auth_families SET status = 'live'",
    "a live session whose family": "UPDATE auth_families SET status = 'burned'"
    " WHERE session_id IN (SELECT session_id FROM auth_sessions WHERE ended_at IS NULL)",
    "a live session of a disabled": "UPDATE auth_users SET disabled_at = now()",
    "without a revocation": "DELETE FROM auth_revocations",
    "its beginning": "DELETE FROM auth_eventos WHERE event_type = 'sign_in.succeeded'",
    "signed out without": "DELETE FROM auth_eventos WHERE event_type = 'session.ended'",
    "a burned family": "DELETE FROM auth_eventos WHERE event_type = 'family.burned'",
    "of its issue": "DELETE FROM auth_eventos WHERE event_type = 'api_key.created'",
    "that was never there": "DELETE FROM auth_api_keys",
    "a change of password without": "UPDATE auth_users SET password_changed_at = now()",
    "more than one family": "ALTER TABLE auth_families"
    " DROP CONSTRAINT auth_families_session_id_key;"
    " INSERT INTO auth_families (handle_hash, session_id, token_hash, rotated_at, idle_ttl,"
    " idle_expires_at, absolute_expires_at)"
    " SELECT sha256(handle_hash), session_id, token_hash, rotated_at, idle_ttl, idle_expires_at,"
    " absolute_expires_at FROM auth_families LIMIT 1",
    "from before a change of password": "UPDATE auth_eventos SET event_type = 'password.changed'"
    " WHERE event_type = 'session.ended'",
    "a session that is not there": "DELETE FROM auth_sessions",
    "event that tells of it": "DELETE FROM auth_eventos WHERE event_type = 'api_key.revoked'",
    "revoked twice": "UPDATE auth_eventos SET event_type = 'api_key.revoked'"
    " WHERE event_type = 'api_key.created'",
    "an account disabled": "UPDATE auth_users SET disabled_at = now()",
    "more than five guesses": "DELETE FROM auth_devices; UPDATE auth_eventos"
    " SET event_type = 'sign_in.failed', detail = '{\"why\": \"wrong_password\"}'"
    " WHERE user_id IS NOT NULL",
    "refused as locked": "UPDATE auth_eventos SET event_type = 'sign_in.failed',"
    ' detail = \'{"why": "locked"}\' WHERE user_id IS NOT NULL',
    "a hole": "DELETE FROM auth_revocations WHERE seq = 2",
    "beyond the head": "UPDATE auth_revocation_head SET seq = 1",
    "whose tokens were not": "DELETE FROM auth_revocations WHERE kind = 'akid'",
}
"""By words of its meaning, what brings it about."""


class UndoneError(Exception):
    """What is planted goes again, a constraint that stood in its way is there again."""


async def a_busy_day(rt: Runtime, browser: Browser) -> None:
    """Sign in, out, replay, issue and revoke a key."""
    ada = await given.a_person(rt, role="owner")
    stays, leaves, robbed = browser(), browser(), browser()
    signed_in = await asking.sign_in(stays, ada)
    await asking.sign_in(leaves, ada)
    await leaves.post("/auth/logout", json={})
    first = asking.cookie(await asking.sign_in(robbed, ada))
    for _ in range(2):
        await asking.renew(robbed)
    await given.no_grace(rt)
    assert (await asking.renew(robbed, first)).status_code == 401
    bearer = asking.bearer(signed_in)
    made = await stays.post("/api-keys", json={"name": "k", "scopes": ["agentes"]}, headers=bearer)
    path = f"/api-keys/{made.json()['id']}/revoke"
    assert (await stays.post(path, headers=bearer)).status_code == 200


async def violations(rt: Runtime) -> list[str]:
    report = Report("test")
    async with rt.pg.autocommit() as tx:
        await check_standing(tx, report)
    return [one.what for one in report.violations]


async def test_a_day_without_faults_violates_nothing(rt: Runtime, browser: Browser) -> None:
    await a_busy_day(rt, browser)
    assert await violations(rt) == []


@pytest.mark.parametrize("meaning", PLANTED)
async def test_what_is_planted_is_found(rt: Runtime, browser: Browser, meaning: str) -> None:
    assert [s for s in STATEMENTS if meaning in s.meaning], "no invariant says so"
    await a_busy_day(rt, browser)
    report = Report("test")
    with contextlib.suppress(UndoneError):
        async with rt.pg.decision() as tx:
            await tx.execute(PLANTED[meaning])
            await check_standing(tx, report)
            raise UndoneError
    assert [one.what for one in report.violations if meaning in one.what]


def test_every_invariant_has_been_seen_to_be_violated() -> None:
    never = [s.meaning for s in STATEMENTS if not any(words in s.meaning for words in PLANTED)]
    assert never == []


async def test_a_planted_secret_is_found_in_a_table_a_log_and_an_argument(rt: Runtime) -> None:
    canary = "canary-in-the-wrong-place"
    await given.a_person(rt, f"{canary}@acme.example")
    report = Report("test")
    async with rt.pg.autocommit() as tx:
        await search_canaries(tx, report, {"password": canary}, {"the log": f"line {canary}"}, [])
    assert {one.what for one in report.violations} >= {
        "a password is in the log",
        "a password is in table auth_users",
    }
