-- Devices that signed in to an account before.  Writes auth_devices.

-- name: find(device_id, user_id, at)
-- Bound to the account: another person's device is no known device.
SELECT device_id
  FROM auth_devices
 WHERE device_id = $1
   AND user_id = $2
   AND expires_at > $3;

-- name: insert(device_id, user_id, at, expires_at)
INSERT INTO auth_devices (device_id, user_id, created_at, used_at, expires_at)
VALUES ($1, $2, $3, $3, $4);

-- name: touch(device_id, at, expires_at)
UPDATE auth_devices
   SET used_at = $2, expires_at = $3
 WHERE device_id = $1;

-- name: forget_oldest(user_id, most)
-- Keeps at most `most` devices of an account, with one to be added; the longest unused are dropped.
DELETE FROM auth_devices
 WHERE device_id IN (
        SELECT device_id FROM auth_devices WHERE user_id = $1
         ORDER BY used_at DESC OFFSET $2::integer);

-- name: forget_others(user_id, kept)
-- After a change of password only the device it was changed on stays known.
DELETE FROM auth_devices
 WHERE user_id = $1
   AND device_id IS DISTINCT FROM $2::uuid;

-- name: prune(after, before, most)
WITH gone AS (
    DELETE FROM auth_devices
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_devices
             WHERE expires_at >= $1
               AND expires_at < $2
             ORDER BY expires_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING expires_at
)
SELECT count(*)::integer AS rows, max(expires_at) AS upto
  FROM gone;
