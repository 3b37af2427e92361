-- Strikes and lockouts, per account and device.  Writes auth_lockouts.

-- name: reserve_first(subject_id, device_id, attempt_id, at)
-- The routine attempt in one round trip: the counter is empty and the account is not locked.  When no row
-- is returned, `hold` and model.py decide.
INSERT INTO auth_lockouts AS l (subject_id, device_id, under_way, touched_at)
VALUES ($1, $2, ARRAY[$3::uuid], $4)
ON CONFLICT (subject_id, device_id) DO UPDATE
   SET under_way = excluded.under_way, locked_until = NULL, touched_at = excluded.touched_at
 WHERE l.attempts = '{}'
   AND l.under_way = '{}'
   AND (l.locked_until IS NULL OR l.locked_until <= $4);

-- name: hold(subject_id, device_id, touched_at)
-- Locks the row, and makes it if needed.  Parallel guesses wait here, and each sees those before it.
INSERT INTO auth_lockouts AS l (subject_id, device_id, touched_at)
VALUES ($1, $2, $3)
ON CONFLICT (subject_id, device_id) DO UPDATE SET touched_at = greatest(l.touched_at, $3)
RETURNING attempts, under_way, locked_until;

-- name: find(subject_id, device_id)
SELECT attempts, under_way, locked_until
  FROM auth_lockouts
 WHERE subject_id = $1
   AND device_id = $2;

-- name: lock(subject_id, device_id)
SELECT attempts, under_way, locked_until
  FROM auth_lockouts
 WHERE subject_id = $1
   AND device_id = $2
   FOR UPDATE;

-- name: put(subject_id, device_id, attempts, under_way, locked_until, touched_at)
UPDATE auth_lockouts
   SET attempts = $3, under_way = $4, locked_until = $5, touched_at = $6
 WHERE subject_id = $1
   AND device_id = $2;

-- name: release(subject_id, device_id, attempt_id)
UPDATE auth_lockouts
   SET under_way = array_remove(under_way, $3::uuid)
 WHERE subject_id = $1
   AND device_id = $2
   AND $3 = ANY (under_way);

-- name: clear(subject_id, device_id, attempt_id, at)
-- No row: the attempt has lost its place.
UPDATE auth_lockouts
   SET attempts = '{}', under_way = array_remove(under_way, $3::uuid), locked_until = NULL,
       touched_at = $4
 WHERE subject_id = $1
   AND device_id = $2
   AND $3 = ANY (under_way);

-- name: prune(after, before, most)
WITH gone AS (
    DELETE FROM auth_lockouts
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_lockouts
             WHERE touched_at >= $1
               AND touched_at < $2
               AND (locked_until IS NULL OR locked_until < $2)
             ORDER BY touched_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING touched_at
)
SELECT count(*)::integer AS rows, max(touched_at) AS upto
  FROM gone;

-- name: unlock(subject_id)
-- An administrator lifts every lock of an account.
DELETE FROM auth_lockouts
 WHERE subject_id = $1;
