-- API keys.  Writes auth_api_keys.

-- name: insert(key_id, tenant_id, owner_id, public_id, secret_mac, name, scopes, networks, created_at, expires_at)
-- No row when the public id is taken.
INSERT INTO auth_api_keys (key_id, tenant_id, owner_id, public_id, secret_mac, name, scopes,
                           networks, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[]::cidr[], $9, $10)
ON CONFLICT (public_id) DO NOTHING
RETURNING key_id;

-- name: list_presented(public_ids)
-- The facts that a check needs, for many keys in one round trip.  `standing`: organization and owner may
-- act.  `cutoff`: tokens issued for the key up to then are revoked.
SELECT k.key_id, k.tenant_id, k.owner_id, k.public_id, k.secret_mac, k.scopes,
       k.networks::text[] AS networks, k.created_at, k.expires_at, k.revoked_at,
       o.disabled_at IS NULL AND (k.owner_id IS NULL OR m.user_id IS NOT NULL) AS standing,
       m.role AS owner_role, COALESCE(m.platform_admin, FALSE) AS owner_platform_admin,
       o.policy::text AS policy,
       (SELECT max(r.cutoff)
          FROM (VALUES ('sub', k.owner_id::text), ('tenant_id', k.tenant_id::text))
            AS mark (kind, value)
          JOIN auth_revocations r USING (kind, value)
         WHERE r.tenant_id IS NULL OR r.tenant_id = k.tenant_id) AS cutoff
  FROM auth_api_keys k
  JOIN auth_organizations o USING (tenant_id)
  LEFT JOIN LATERAL (SELECT u.user_id, m.role, u.platform_admin
                       FROM auth_memberships m
                       JOIN auth_users u USING (user_id)
                      WHERE m.user_id = k.owner_id
                        AND m.tenant_id = k.tenant_id
                        AND m.disabled_at IS NULL
                        AND u.disabled_at IS NULL) m ON TRUE
 WHERE k.public_id = ANY ($1::text[]);

-- name: find(key_id)
SELECT key_id, tenant_id, owner_id, public_id, name, scopes, networks::text[] AS networks,
       created_at, expires_at, revoked_at, ended_at, successor_id, last_used_at, use_count
  FROM auth_api_keys
 WHERE key_id = $1;

-- name: lock(key_id, tenant_id, owner_id)
-- A transaction that revokes, rotates or deletes a key locks its row, so that only one of two acts.  Rows
-- out of reach are not locked (NULL: any organization, any owner): the time shows nothing about them.
SELECT key_id, tenant_id, owner_id, public_id, name, scopes, networks::text[] AS networks,
       created_at, expires_at, revoked_at, ended_at, successor_id, last_used_at, use_count
  FROM auth_api_keys
 WHERE key_id = $1
   AND ($2::uuid IS NULL OR tenant_id = $2)
   AND ($3::uuid IS NULL OR owner_id = $3)
   FOR UPDATE;

-- name: list_page(tenant_id, before, most)
-- The keys of an organization, the newest first, older than a cursor.
SELECT key_id, tenant_id, owner_id, public_id, name, scopes, networks::text[] AS networks,
       created_at, expires_at, revoked_at, ended_at, successor_id, last_used_at, use_count
  FROM auth_api_keys
 WHERE tenant_id = $1
   AND key_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
 ORDER BY key_id DESC
 LIMIT $3;

-- name: list_own(tenant_id, owner_id, before, most)
-- The keys of one person there, by an index of their own, since they may be few among very many.
SELECT key_id, tenant_id, owner_id, public_id, name, scopes, networks::text[] AS networks,
       created_at, expires_at, revoked_at, ended_at, successor_id, last_used_at, use_count
  FROM auth_api_keys
 WHERE tenant_id = $1
   AND owner_id = $2
   AND key_id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
 ORDER BY key_id DESC
 LIMIT $4;

-- name: revoke(key_id, revoked_at)
UPDATE auth_api_keys
   SET revoked_at = $2, ended_at = COALESCE(ended_at, $2)
 WHERE key_id = $1;

-- name: revoke_own(tenant_id, owner_id, revoked_at)
-- All keys of one person in an organization that have not ended, locked in a fixed order.
WITH doomed AS (
    SELECT key_id
      FROM auth_api_keys
     WHERE tenant_id = $1
       AND owner_id = $2
       AND ended_at IS NULL
     ORDER BY key_id
       FOR UPDATE
)
UPDATE auth_api_keys k
   SET revoked_at = $3, ended_at = $3
  FROM doomed
 WHERE k.key_id = doomed.key_id
RETURNING k.key_id, k.tenant_id, k.public_id;

-- name: succeed(key_id, successor_id, expires_at)
-- The old key works until the overlap ends, and not longer than it would have.  The clocks of two workers
-- may differ a little: the end is never before the key was made.
UPDATE auth_api_keys
   SET successor_id = $2, expires_at = GREATEST(created_at, LEAST(expires_at, $3))
 WHERE key_id = $1;

-- name: delete(key_id)
DELETE FROM auth_api_keys
 WHERE key_id = $1;

-- name: erase(owner_id)
-- Their names, which the owner chose, are removed too.  Locked in the same order as by `add_uses`.
WITH doomed AS (
    SELECT key_id
      FROM auth_api_keys
     WHERE owner_id = $1
     ORDER BY key_id
       FOR UPDATE
)
DELETE FROM auth_api_keys k
 USING doomed
 WHERE k.key_id = doomed.key_id
RETURNING k.key_id, k.tenant_id, k.public_id;

-- name: any_ending(at)
-- Asks for the key that expires first.  A plan without known values expects a third of all keys to match,
-- and would then search the table for one.
SELECT coalesce((SELECT expires_at <= $1
                   FROM auth_api_keys
                  WHERE ended_at IS NULL
                    AND expires_at IS NOT NULL
                  ORDER BY expires_at
                  LIMIT 1), false) AS found;

-- name: end_expired(at, most)
-- Every worker runs this; each key is returned to one of them.
WITH due AS (
    SELECT key_id
      FROM auth_api_keys
     WHERE ended_at IS NULL
       AND expires_at <= $1
     ORDER BY expires_at
     LIMIT $2
       FOR UPDATE SKIP LOCKED
)
UPDATE auth_api_keys k
   SET ended_at = $1
  FROM due
 WHERE k.key_id = due.key_id
RETURNING k.key_id, k.tenant_id;

-- name: add_uses(key_ids, counts, times)
-- Rows are locked in a fixed order, so that two workers never deadlock.
WITH used AS (
    SELECT *
      FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS u (key_id, uses, used_at)
), held AS (
    SELECT key_id
      FROM auth_api_keys
     WHERE key_id = ANY ($1::uuid[])
     ORDER BY key_id
       FOR NO KEY UPDATE
)
UPDATE auth_api_keys k
   SET use_count = k.use_count + used.uses,
       last_used_at = GREATEST(k.last_used_at, used.used_at)
  FROM held
  JOIN used USING (key_id)
 WHERE k.key_id = held.key_id;

-- name: export_member(tenant_id, user_id)
-- The keys of one person in an organization, without the MAC of the secret, as lines of JSON.
SELECT json_build_object(
           'kind', 'api_key', 'id', key_id, 'prefix', 'tsk_' || public_id, 'name', name,
           'scopes', scopes, 'networks', networks::text[], 'created_at', created_at,
           'expires_at', expires_at, 'revoked_at', revoked_at, 'last_used_at', last_used_at,
           'use_count', use_count)::text AS line
  FROM auth_api_keys
 WHERE tenant_id = $1
   AND owner_id = $2
 ORDER BY key_id;
