-- Sessions: one sign-in on one device.  Writes auth_sessions.

-- name: insert(session_id, tenant_id, user_id, device_id, client_id, amr, auth_time, created_at, expires_at)
INSERT INTO auth_sessions (session_id, tenant_id, user_id, device_id, client_id, amr, auth_time,
                           created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: lock_live(session_id, user_id, at)
-- For acts that need a live session.
SELECT session_id, tenant_id, device_id, amr, auth_time, expires_at
  FROM auth_sessions
 WHERE session_id = $1
   AND user_id = $2
   AND ended_at IS NULL
   AND expires_at > $3
   FOR UPDATE;

-- name: list_live(user_id, at)
-- The live sessions of a person in all organizations, the newest first.
SELECT s.session_id, s.tenant_id, s.created_at, s.expires_at,
       f.rotated_at AS last_seen_at, f.last_ip, f.last_agent
  FROM auth_sessions s
  JOIN auth_families f USING (session_id)
 WHERE s.user_id = $1
   AND s.ended_at IS NULL
   AND f.absolute_expires_at > $2
   AND f.idle_expires_at > $2
 ORDER BY s.session_id DESC;

-- name: end_one(session_id, user_id, ended_at, why)
-- No row: the session is another person's, or has ended before.
UPDATE auth_sessions
   SET ended_at = $3, ended_why = $4
 WHERE session_id = $1
   AND user_id = $2
   AND ended_at IS NULL
RETURNING session_id, tenant_id;

-- name: find(session_id)
SELECT session_id, tenant_id, user_id
  FROM auth_sessions
 WHERE session_id = $1;

-- name: end_organization(tenant_id, ended_at, why)
WITH doomed AS (
    SELECT session_id
      FROM auth_sessions
     WHERE tenant_id = $1
       AND ended_at IS NULL
     ORDER BY session_id
       FOR UPDATE
)
UPDATE auth_sessions s
   SET ended_at = $2, ended_why = $3
  FROM doomed
 WHERE s.session_id = doomed.session_id
RETURNING s.session_id, s.tenant_id;

-- name: end_client(client_id, ended_at, why)
-- Every one of a client's but the console's, by the index that leaves those out.
WITH doomed AS (
    SELECT session_id
      FROM auth_sessions
     WHERE client_id = $1
       AND client_id <> 'console'
       AND ended_at IS NULL
     ORDER BY session_id
       FOR UPDATE
)
UPDATE auth_sessions s
   SET ended_at = $2, ended_why = $3
  FROM doomed
 WHERE s.session_id = doomed.session_id
RETURNING s.session_id, s.tenant_id;

-- name: end_all(user_id, kept, tenant_id, ended_at, why)
-- All sessions of a person but one, in one organization or in all.  The caller has locked the person, so
-- that none is opened meanwhile.
WITH doomed AS (
    SELECT session_id
      FROM auth_sessions
     WHERE user_id = $1
       AND session_id IS DISTINCT FROM $2::uuid
       AND ($3::uuid IS NULL OR tenant_id = $3)
       AND ended_at IS NULL
     ORDER BY session_id
       FOR UPDATE
)
UPDATE auth_sessions s
   SET ended_at = $4, ended_why = $5
  FROM doomed
 WHERE s.session_id = doomed.session_id
RETURNING s.session_id, s.tenant_id;

-- name: erase(user_id)
-- This also drops the families, with the addresses they were last used from.
DELETE FROM auth_sessions
 WHERE user_id = $1;

-- name: prune(after, before, most)
-- Long after their end.  `GET /auth/sessions` no longer shows them; the audit trail does.
WITH gone AS (
    DELETE FROM auth_sessions
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_sessions
             WHERE expires_at >= $1
               AND expires_at < $2
             ORDER BY expires_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING expires_at
)
SELECT count(*)::integer AS rows, max(expires_at) AS upto
  FROM gone;

-- name: export_member(tenant_id, user_id)
-- Ended sessions too, until they are pruned.  As lines of JSON, the oldest first.
SELECT json_build_object(
           'kind', 'session', 'id', s.session_id, 'client_id', s.client_id, 'amr', s.amr,
           'created_at', s.created_at, 'expires_at', s.expires_at, 'ended_at', s.ended_at,
           'ended_why', s.ended_why, 'last_seen_at', f.rotated_at, 'address', f.last_ip,
           'user_agent', f.last_agent)::text AS line
  FROM auth_sessions s
  LEFT JOIN auth_families f USING (session_id)
 WHERE s.tenant_id = $1
   AND s.user_id = $2
 ORDER BY s.session_id;
