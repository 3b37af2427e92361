-- The root secret and the signing keys.  Writes auth_root, auth_signing_keys.

-- name: insert_root(sealed, created_at)
-- When two processes start at once, one makes it.  None is made if there are keys already: a root that was
-- lost must not be replaced, since all keys derived from it would be lost.
INSERT INTO auth_root (sealed, created_at)
SELECT $1::bytea, $2::timestamptz
 WHERE NOT EXISTS (SELECT FROM auth_signing_keys)
ON CONFLICT DO NOTHING;

-- name: find_root()
SELECT sealed
  FROM auth_root;

-- name: lock_root()
-- A transaction that changes the key ring locks this row.
SELECT sealed
  FROM auth_root
   FOR UPDATE;

-- name: reseal_root(before, sealed)
UPDATE auth_root
   SET sealed = $2
 WHERE sealed = $1;

-- name: insert_key(kid, algorithm, public_jwk, sealed, created_at, activates_at, retires_at, removes_at)
INSERT INTO auth_signing_keys
       (kid, algorithm, public_jwk, sealed, created_at, activates_at, retires_at, removes_at)
VALUES ($1, $2, $3::text::jsonb, $4, $5, $6, $7, $8);

-- name: retire_others(kid, algorithms, retires_at, removes_at)
-- All other keys of these algorithms that would still sign when `kid` begins to sign.
UPDATE auth_signing_keys
   SET retires_at = greatest($3, activates_at), removes_at = greatest($4, activates_at)
 WHERE kid <> $1
   AND algorithm = ANY ($2::text[])
   AND killed_at IS NULL
   AND (retires_at IS NULL OR retires_at > $3);

-- name: keep_on(algorithms, retires_at)
-- Their successor, which was to begin at that moment, is gone: they sign until there is another one.
UPDATE auth_signing_keys
   SET retires_at = NULL, removes_at = NULL
 WHERE algorithm = ANY ($1::text[])
   AND retires_at = $2
   AND killed_at IS NULL;

-- name: kill(kid, killed_at)
-- The private half is dropped, since only a thief could use it.
UPDATE auth_signing_keys
   SET killed_at = $2, sealed = ''
 WHERE kid = $1;

-- name: list_published(at)
-- All keys that are not removed, including those that do not sign yet.
SELECT kid, algorithm, created_at, activates_at, retires_at, removes_at, killed_at, sealed
  FROM auth_signing_keys
 WHERE killed_at IS NULL
   AND (removes_at IS NULL OR removes_at > $1)
 ORDER BY activates_at DESC, kid;

-- name: list_all()
SELECT kid, algorithm, created_at, activates_at, retires_at, removes_at, killed_at
  FROM auth_signing_keys
 ORDER BY activates_at DESC, kid;

-- name: list_sealed(after, most)
-- For re-sealing, in the order of kid.
SELECT kid AS row_id, sealed
  FROM auth_signing_keys
 WHERE kid > $1
   AND sealed <> ''
 ORDER BY kid
 LIMIT $2
   FOR UPDATE;

-- name: reseal(kid, before, sealed)
UPDATE auth_signing_keys
   SET sealed = $3
 WHERE kid = $1
   AND sealed = $2;

-- name: count_seals()
-- How many ciphertexts each master key has sealed: its id is before the dot.  NULL: the id is damaged.
SELECT substring(encode(substring(sealed FROM 1 FOR 9), 'escape') FROM '^([0-9a-f]{8})\.') AS key_id,
       count(*) AS count
  FROM (SELECT sealed FROM auth_root
        UNION ALL
        SELECT sealed FROM auth_signing_keys WHERE sealed <> '') AS everything
 GROUP BY 1;

-- name: prune(before)
-- Drops the private half of keys that were removed long ago; the public half still verifies checkpoints.
UPDATE auth_signing_keys
   SET sealed = ''
 WHERE (removes_at < $1 OR killed_at < $1)
   AND sealed <> '';
