-- Requests with an Idempotency-Key.  Writes auth_idempotency.

-- name: hold(lock_id)
-- An advisory lock until the transaction ends.  Unlike a row, it goes away however the transaction ends.
SELECT pg_try_advisory_xact_lock($1) AS held;

-- name: find(slot, at)
SELECT request_mac, made
  FROM auth_idempotency
 WHERE slot = $1
   AND expires_at > $2;

-- name: keep(slot, request_mac, made, expires_at)
-- Replaces an entry that has expired.
INSERT INTO auth_idempotency (slot, request_mac, made, expires_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (slot) DO UPDATE
   SET request_mac = excluded.request_mac, made = excluded.made, expires_at = excluded.expires_at;

-- name: prune(after, before, most)
WITH gone AS (
    DELETE FROM auth_idempotency
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_idempotency
             WHERE expires_at >= $1
               AND expires_at < $2
             ORDER BY expires_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING expires_at
)
SELECT count(*)::integer AS rows, max(expires_at) AS upto
  FROM gone;
