"""Invariants as queries.  Each must return no row, at every moment, whatever was killed."""

from msgspec import Struct

from faults.report import Report
from service.kernel.sql import Tx


class Standing(Struct, frozen=True):
    """One query, and what a row of it would mean."""

    invariant: str
    meaning: str
    sql: str


STATEMENTS = (
    Standing(
        "I1",
        "a session with more than one family",
        "SELECT session_id::text AS what FROM auth_families GROUP BY session_id"
        " HAVING count(*) > 1",
    ),
    Standing(
        "I2",
        "a live family of a session that has ended",
        "SELECT session_id::text AS what FROM auth_families JOIN auth_sessions USING (session_id)"
        " WHERE status = 'live' AND ended_at IS NOT NULL",
    ),
    Standing(
        "I2",
        "a live session whose family was burned or ended",
        "SELECT session_id::text AS what FROM auth_families JOIN auth_sessions USING (session_id)"
        " WHERE status <> 'live' AND ended_at IS NULL",
    ),
    Standing(
        "I2",
        "a live session of a disabled person",
        "SELECT session_id::text AS what FROM auth_sessions JOIN auth_users USING (user_id)"
        " WHERE ended_at IS NULL AND disabled_at IS NOT NULL",
    ),
    Standing(
        "I2",
        "a live session from before a change of password, other than the one that changed it",
        "SELECT s.session_id::text AS what FROM auth_sessions s"
        "  JOIN auth_eventos b ON b.session_id = s.session_id"
        "   AND b.event_type IN ('sign_in.succeeded', 'organization.switched')"
        "  JOIN auth_eventos p ON p.user_id = s.user_id AND p.event_type = 'password.changed'"
        "   AND p.session_id <> s.session_id AND p.recorded_xid > b.recorded_xid"
        " WHERE s.ended_at IS NULL",
    ),
    Standing(
        "I2",
        "a session that ended without a revocation of its tokens",
        "SELECT session_id::text AS what FROM auth_sessions s WHERE ended_at IS NOT NULL"
        "   AND NOT EXISTS (SELECT FROM auth_revocations r"
        "                    WHERE r.kind = 'sid' AND r.value = s.session_id::text)",
    ),
    Standing(
        "I3",
        "a session without exactly one event of its beginning",
        "SELECT s.session_id::text AS what FROM auth_sessions s"
        "  LEFT JOIN auth_eventos e ON e.session_id = s.session_id"
        "   AND e.event_type IN ('sign_in.succeeded', 'organization.switched')"
        " GROUP BY s.session_id HAVING count(e.event_id) <> 1",
    ),
    Standing(
        "I3",
        "an event of the beginning of a session that is not there",
        "SELECT e.event_id::text AS what FROM auth_eventos e"
        "  LEFT JOIN auth_sessions s USING (session_id)"
        " WHERE e.event_type = 'sign_in.succeeded' AND s.session_id IS NULL"
        "   AND NOT EXISTS (SELECT FROM auth_users u"
        "                    WHERE u.user_id = e.user_id AND u.erased_at IS NOT NULL)",
    ),
    Standing(
        "I3",
        "a session signed out without exactly one event of it",
        "SELECT s.session_id::text AS what FROM auth_sessions s"
        "  LEFT JOIN auth_eventos e ON e.session_id = s.session_id"
        "   AND e.event_type = 'session.ended' AND e.detail->>'why' = s.ended_why"
        " WHERE s.ended_why = 'signed_out'"
        " GROUP BY s.session_id HAVING count(e.event_id) <> 1",
    ),
    Standing(
        "I3",
        "a burned family without exactly one event of it",
        "SELECT f.session_id::text AS what FROM auth_families f"
        "  LEFT JOIN auth_eventos e ON e.session_id = f.session_id"
        "   AND e.event_type = 'family.burned'"
        " WHERE f.status = 'burned' GROUP BY f.session_id HAVING count(e.event_id) <> 1",
    ),
    Standing(
        "I3",
        "an API key without exactly one event of its issue",
        "SELECT k.key_id::text AS what FROM auth_api_keys k"
        "  LEFT JOIN auth_eventos e ON e.event_type = 'api_key.created'"
        "   AND e.detail->>'key_id' = k.key_id::text"
        "    OR e.event_type = 'api_key.rotated' AND e.detail->>'successor_id' = k.key_id::text"
        " GROUP BY k.key_id HAVING count(e.event_id) <> 1",
    ),
    Standing(
        "I3",
        "an event of the issue of an API key that was never there",
        "SELECT e.event_id::text AS what FROM auth_eventos e"
        " WHERE e.event_type = 'api_key.created'"
        "   AND NOT EXISTS (SELECT FROM auth_api_keys k WHERE k.key_id::text = e.detail->>'key_id')"
        "   AND NOT EXISTS (SELECT FROM auth_eventos d WHERE d.event_type = 'api_key.deleted'"
        "                     AND d.detail->>'key_id' = e.detail->>'key_id')"
        "   AND NOT EXISTS (SELECT FROM auth_users u"
        "                    WHERE u.user_id = e.user_id AND u.erased_at IS NOT NULL)",
    ),
    Standing(
        "I3",
        "a revoked API key without an event that tells of it",
        "SELECT k.key_id::text AS what FROM auth_api_keys k"
        "  LEFT JOIN (SELECT detail->>'key_id' AS key_id FROM auth_eventos"
        "              WHERE event_type = 'api_key.revoked'"
        "             UNION ALL"
        "             SELECT detail->>'key_id' FROM auth_eventos"
        "              WHERE event_type = 'api_key.rotated' AND detail->>'overlap_seconds' = '0'"
        "             UNION ALL"
        "             SELECT detail->>'value' FROM auth_eventos"
        "              WHERE event_type = 'revocation.created' AND detail->>'kind' = 'akid') e"
        "    ON e.key_id = k.key_id::text"
        " WHERE k.revoked_at IS NOT NULL AND e.key_id IS NULL",
    ),
    Standing(
        "I3",
        "an API key that was revoked twice",
        "SELECT detail->>'key_id' AS what FROM auth_eventos WHERE event_type = 'api_key.revoked'"
        " GROUP BY detail->>'key_id' HAVING count(*) > 1",
    ),
    Standing(
        "I3",
        "an account disabled without an event of it",
        "SELECT u.user_id::text AS what FROM auth_users u"
        " WHERE u.disabled_at IS NOT NULL AND u.erased_at IS NULL"
        "   AND NOT EXISTS (SELECT FROM auth_eventos e WHERE e.event_type = 'user.disabled'"
        "                     AND e.user_id = u.user_id)",
    ),
    Standing(
        "I3",
        "a change of password without exactly one event of it",
        "SELECT u.user_id::text AS what FROM auth_users u"
        "  LEFT JOIN auth_eventos e ON e.event_type = 'password.changed'"
        "   AND e.user_id = u.user_id AND e.occurred_at = u.password_changed_at"
        " WHERE u.password_changed_at > u.created_at AND u.erased_at IS NULL"
        " GROUP BY u.user_id HAVING count(e.event_id) <> 1",
    ),
    Standing(
        "I4",
        "more than five guesses looked at in fifteen minutes, by devices that are not known",
        "SELECT e.user_id::text AS what FROM auth_eventos e"
        "  JOIN auth_eventos f ON f.user_id = e.user_id AND f.event_type = e.event_type"
        "   AND f.detail->>'why' = 'wrong_password' AND f.occurred_at >= e.occurred_at"
        "   AND f.occurred_at < e.occurred_at + interval '15 minutes'"
        " WHERE e.event_type = 'sign_in.failed' AND e.detail->>'why' = 'wrong_password'"
        "   AND NOT EXISTS (SELECT FROM auth_eventos s WHERE s.user_id = e.user_id"
        "                     AND s.event_type IN"
        "                         ('sign_in.succeeded', 'password.changed', 'lockout.lifted')"
        "                     AND s.recorded_xid > e.recorded_xid)"
        "   AND NOT EXISTS (SELECT FROM auth_devices d WHERE d.user_id = e.user_id)"
        " GROUP BY e.user_id, e.event_id HAVING count(*) > 5",
    ),
    Standing(
        "I4",
        "somebody refused as locked without a lockout",
        "SELECT e.user_id::text AS what FROM auth_eventos e"
        "  JOIN auth_users u ON u.user_id = e.user_id AND u.erased_at IS NULL"
        " WHERE e.event_type IN ('sign_in.failed', 'password.change_failed')"
        "   AND e.detail->>'why' = 'locked'"
        "   AND NOT EXISTS (SELECT FROM auth_eventos l WHERE l.user_id = e.user_id"
        "                     AND l.event_type = 'lockout.started'"
        "                     AND l.occurred_at > e.occurred_at - interval '15 minutes'"
        "                     AND l.occurred_at < e.occurred_at + interval '1 minute')",
    ),
    Standing(
        "I5",
        "a hole in the numbers of the revocations",
        "SELECT seq::text AS what FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before"
        "          FROM auth_revocations) r WHERE seq <> before + 1",
    ),
    Standing(
        "I5",
        "a revocation beyond the head that readers follow",
        "SELECT seq::text AS what FROM auth_revocations"
        " WHERE seq > (SELECT seq FROM auth_revocation_head)",
    ),
    Standing(
        "I5",
        "a revoked API key whose tokens were not revoked",
        "SELECT k.key_id::text AS what FROM auth_api_keys k WHERE revoked_at IS NOT NULL"
        "   AND NOT EXISTS (SELECT FROM auth_revocations r"
        "                    WHERE r.kind = 'akid' AND r.value = k.key_id::text)",
    ),
)


async def check_standing(tx: Tx, report: Report) -> None:
    """Look once; each row of each statement is a violation."""
    for standing in STATEMENTS:
        rows = await tx.fetch(f"SELECT * FROM ({standing.sql}) AS found LIMIT 5")  # noqa: S608 - ours
        for row in rows:
            report.violate(standing.invariant, f"{standing.meaning}: {row['what']}")
