-- Refresh-token families: one row each, constant size.  Writes auth_families.

-- name: insert(handle_hash, session_id, token_hash, at, idle_ttl, idle_expires_at, absolute_expires_at, ip, network, agent, recorded)
INSERT INTO auth_families (handle_hash, session_id, token_hash, rotated_at, idle_ttl, idle_expires_at,
                           absolute_expires_at, last_ip, last_network, last_agent, recorded)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: rotate(handle_hashes, generations, token_hashes, successor_hashes, ats, ips, networks, agents, client_ids, roles)
-- The routine rotation of many families in one round trip and one commit.  Routine is: the current token,
-- not expired, of a person, organization and client that may act, from where it was last seen, presented by
-- its own client.  `roles`: the roles that hold the requested scopes, separated by spaces; NULL without a
-- request.  Families that are not returned are not routine: `lock` and model.py decide them.  Rows are
-- locked in a fixed order, so that two batches never deadlock.  The conditions are checked on the locked row.
--
-- `rotated_at` is when the token was superseded: now, by this server's clock, and never before the request
-- arrived.  `superseded` has the times before it.  It has up to 127 while the family rotates more often than
-- every 30 s, the longest grace, and otherwise one, so that the usual row stays small.
WITH asked AS (
    SELECT *
      FROM unnest($1::bytea[], $2::integer[], $3::bytea[], $4::bytea[], $5::timestamptz[],
                  $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
        AS a (handle_hash, generation, token_hash, successor_hash, at, ip, network, agent, client_id,
              roles)
), routine AS (
    SELECT f.handle_hash
      FROM auth_families f
      JOIN asked a USING (handle_hash)
     WHERE f.status = 'live'
       AND NOT f.recorded
       AND f.generation = a.generation
       AND f.token_hash = a.token_hash
       AND f.idle_expires_at > a.at
       AND f.absolute_expires_at > a.at
       AND f.last_network IS NOT DISTINCT FROM a.network
       AND f.last_agent = a.agent
     ORDER BY f.handle_hash
       FOR UPDATE OF f
)
UPDATE auth_families f
   SET generation = f.generation + 1,
       token_hash = a.successor_hash,
       rotated_at = greatest(a.at, clock_timestamp()),
       superseded = CASE WHEN f.rotated_at > a.at - interval '30 seconds'
                         THEN (f.superseded || f.rotated_at)[greatest(1, cardinality(f.superseded) - 125):]
                         ELSE ARRAY[f.rotated_at]
                    END,
       idle_expires_at = least(a.at + f.idle_ttl, f.absolute_expires_at),
       last_ip = a.ip
  FROM routine
  JOIN asked a USING (handle_hash)
  JOIN auth_families me USING (handle_hash)
  JOIN auth_sessions s USING (session_id)
  JOIN auth_users u USING (user_id)
  JOIN auth_memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
  JOIN auth_organizations o ON o.tenant_id = s.tenant_id
  JOIN auth_clients c ON c.client_id = s.client_id
 WHERE f.handle_hash = routine.handle_hash
   AND f.generation = a.generation
   AND s.client_id = a.client_id
   AND s.ended_at IS NULL
   AND m.disabled_at IS NULL
   AND u.disabled_at IS NULL
   AND o.disabled_at IS NULL
   AND c.disabled_at IS NULL
   AND 'refresh_token' = ANY (c.grant_types)
   AND (a.roles IS NULL OR m.role = ANY (string_to_array(a.roles, ' ')))
RETURNING f.handle_hash, f.absolute_expires_at, s.session_id, s.tenant_id, s.user_id, s.client_id, s.amr,
          s.auth_time, u.email, u.name, u.platform_admin, m.role,
          o.slug, o.name AS organization, o.policy::text AS policy,
          (SELECT max(r.cutoff)
             FROM (VALUES ('sub', s.user_id::text), ('tenant_id', s.tenant_id::text), ('client_id', s.client_id))
               AS mark (kind, value)
             JOIN auth_revocations r USING (kind, value)
            WHERE r.tenant_id IS NULL OR r.tenant_id = s.tenant_id) AS cutoff;

-- name: settle(handle_hashes, generations, ats)
-- The rotation of these generations, requested at `ats`, hung before its commit, so that nobody could have
-- the successor until now.  The token counts as superseded now; if the successor was used meanwhile, as
-- superseded then.  A token that was superseded before the request arrived is left alone: another request
-- did that.  Locks first and reads afterwards, since the rotation that hangs has locked the row.
WITH asked AS (
    SELECT * FROM unnest($1::bytea[], $2::integer[], $3::timestamptz[]) AS a (handle_hash, generation, at)
), found AS (
    SELECT f.handle_hash, a.at, f.generation - a.generation - 1 AS since,
           cardinality(f.superseded) - (f.generation - a.generation - 1) + 1 AS place
      FROM auth_families f
      JOIN asked a USING (handle_hash)
     ORDER BY f.handle_hash
       FOR UPDATE OF f
)
UPDATE auth_families f
   SET rotated_at = CASE WHEN since = 0 THEN greatest(f.rotated_at, clock_timestamp()) ELSE f.rotated_at END,
       superseded = CASE WHEN since = 0 THEN f.superseded
                         ELSE f.superseded[:place - 1] || coalesce(f.superseded[place + 1], f.rotated_at)
                              || f.superseded[place + 1:]
                    END
  FROM found
 WHERE f.handle_hash = found.handle_hash
   AND since >= 0
   AND place >= 1
   AND coalesce(f.superseded[place], f.rotated_at) >= found.at;

-- name: commit_locally()
-- This transaction does not wait for a standby: what it writes may be lost.
SET LOCAL synchronous_commit = local;

-- name: find(handle_hash)
-- All facts for deciding about a presented token.
SELECT f.handle_hash, f.absolute_expires_at, s.session_id, s.tenant_id, s.user_id, s.client_id, s.amr,
       s.auth_time, f.status, f.generation, f.token_hash, f.rotated_at, f.superseded,
       f.idle_ttl, f.idle_expires_at, f.last_network, f.last_agent, f.recorded,
       s.ended_at AS session_ended_at
  FROM auth_sessions s
  JOIN auth_families f USING (session_id)
 WHERE f.handle_hash = $1;

-- name: lock(handle_hash)
-- The same, with both rows locked: first the session, then the family.
SELECT f.handle_hash, f.absolute_expires_at, s.session_id, s.tenant_id, s.user_id, s.client_id, s.amr,
       s.auth_time, f.status, f.generation, f.token_hash, f.rotated_at, f.superseded,
       f.idle_ttl, f.idle_expires_at, f.last_network, f.last_agent, f.recorded,
       s.ended_at AS session_ended_at
  FROM auth_sessions s
  JOIN auth_families f USING (session_id)
 WHERE f.handle_hash = $1
   FOR UPDATE OF s, f;

-- name: find_owner(handle_hash)
-- The owner of a token, read without a lock: the person must be locked first.
SELECT s.user_id, s.session_id, s.tenant_id, s.client_id, f.status,
       least(f.idle_expires_at, f.absolute_expires_at) AS expires_at
  FROM auth_families f
  JOIN auth_sessions s USING (session_id)
 WHERE f.handle_hash = $1;

-- name: find_standing(session_id)
-- The name, role and organization of a session's person as they are now, and the cutoff of its tokens.
-- No one when the person, the organization or the client may not act.
SELECT u.email, u.name, u.platform_admin, m.role, o.slug, o.name AS organization,
       o.policy::text AS policy,
       (SELECT max(r.cutoff)
          FROM (VALUES ('sub', s.user_id::text), ('tenant_id', s.tenant_id::text), ('client_id', s.client_id))
            AS mark (kind, value)
          JOIN auth_revocations r USING (kind, value)
         WHERE r.tenant_id IS NULL OR r.tenant_id = s.tenant_id) AS cutoff
  FROM auth_sessions s
  JOIN auth_users u USING (user_id)
  JOIN auth_memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
  JOIN auth_organizations o ON o.tenant_id = s.tenant_id
  JOIN auth_clients c ON c.client_id = s.client_id
 WHERE s.session_id = $1
   AND m.disabled_at IS NULL
   AND u.disabled_at IS NULL
   AND o.disabled_at IS NULL
   AND c.disabled_at IS NULL
   AND 'refresh_token' = ANY (c.grant_types);

-- name: advance(handle_hash, successor_hash, at, ip, network, agent)
-- The rotation of a family whose row the caller has locked.
UPDATE auth_families
   SET generation = generation + 1,
       token_hash = $2,
       rotated_at = greatest($3::timestamptz, clock_timestamp()),
       superseded = CASE WHEN rotated_at > $3 - interval '30 seconds'
                         THEN (superseded || rotated_at)[greatest(1, cardinality(superseded) - 125):]
                         ELSE ARRAY[rotated_at]
                    END,
       idle_expires_at = least($3 + idle_ttl, absolute_expires_at),
       last_ip = $4,
       last_network = $5,
       last_agent = $6
 WHERE handle_hash = $1;

-- name: end_by_session(session_ids, status)
-- Ends the families of sessions that the caller has ended, locked in one order.
WITH doomed AS (
    SELECT handle_hash
      FROM auth_families
     WHERE session_id = ANY ($1::uuid[])
       AND status = 'live'
     ORDER BY handle_hash
       FOR UPDATE
)
UPDATE auth_families f
   SET status = $2
  FROM doomed
 WHERE f.handle_hash = doomed.handle_hash;
