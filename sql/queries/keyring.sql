-- The root secret and the signing keys.  Writes auth_root, auth_signing_keys.

-- name: insert_root(sealed, created_at)
-- Of two that start at once, one makes it.
INSERT INTO auth_root (sealed, created_at)
VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: find_root()
SELECT sealed
  FROM auth_root;

-- name: lock_root()
-- Whoever changes the key ring holds this row.
SELECT sealed
  FROM auth_root
   FOR UPDATE;

-- name: insert_key(kid, algorithm, public_jwk, sealed, created_at, activates_at)
INSERT INTO auth_signing_keys (kid, algorithm, public_jwk, sealed, created_at, activates_at)
VALUES ($1, $2, $3::text::jsonb, $4, $5, $6);

-- name: retire_others(kid, retires_at, removes_at)
-- Each key that would still sign when `kid` begins to.
UPDATE auth_signing_keys
   SET retires_at = greatest($2, activates_at), removes_at = greatest($3, activates_at)
 WHERE kid <> $1
   AND (retires_at IS NULL OR retires_at > $2);

-- name: list_published(at)
-- Everything that is not removed yet, those to come included.
SELECT kid, algorithm, public_jwk::text AS public_jwk, sealed, created_at, activates_at,
       retires_at, removes_at
  FROM auth_signing_keys
 WHERE removes_at IS NULL
    OR removes_at > $1
 ORDER BY activates_at DESC, kid;
