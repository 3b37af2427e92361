-- Revocations.  Writes auth_revocations, auth_revocation_head.

-- name: insert(kinds, values, cutoffs, tenant_id, reason, revoked_at, expires_at)
-- Locks the counter's row until the commit, so that readers see the entries in the order of `seq`, without
-- gaps.  It is the last lock of a transaction, so that it is held for one round trip.
WITH asked AS (
    SELECT *
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY
        AS a (kind, value, cutoff, place)
), head AS (
    UPDATE auth_revocation_head
       SET seq = seq + cardinality($1::text[])
    RETURNING seq - cardinality($1::text[]) AS base
)
INSERT INTO auth_revocations (seq, kind, value, cutoff, tenant_id, reason, revoked_at, expires_at)
SELECT head.base + asked.place, asked.kind, asked.value, asked.cutoff, $4, $5, $6, $7
  FROM asked, head
RETURNING seq, kind, value, cutoff, tenant_id, reason, revoked_at, expires_at;

-- name: head()
-- The newest number and its epoch.  After a restore or a failover, the table, database or server process is
-- another one, and gives out the same numbers again.
SELECT seq,
       left(encode(sha256(concat_ws(' ',
           extract(epoch FROM pg_postmaster_start_time()),
           (SELECT oid FROM pg_database WHERE datname = current_database()),
           tableoid)::bytea), 'hex'), 16) AS epoch
  FROM auth_revocation_head;

-- name: list_after(after, at, most)
-- The revocations in force that are newer than a cursor.
SELECT seq, kind, value, cutoff, tenant_id, reason, revoked_at, expires_at
  FROM auth_revocations
 WHERE seq > $1
   AND expires_at > $2
 ORDER BY seq
 LIMIT $3;

-- name: find(seq)
-- A revocation, in force or not, until it is pruned.
SELECT seq, kind, value, cutoff, tenant_id, reason, revoked_at, expires_at
  FROM auth_revocations
 WHERE seq = $1;

-- name: find_any(kinds, values, at)
-- Looks up a token directly, for a worker whose memory is not fresh.
SELECT r.seq, r.kind, r.value, r.cutoff, r.tenant_id, r.reason, r.revoked_at, r.expires_at
  FROM unnest($1::text[], $2::text[]) AS a (kind, value)
  JOIN auth_revocations r USING (kind, value)
 WHERE r.expires_at > $3
 ORDER BY r.seq;

-- name: prune(after, before, most)
WITH gone AS (
    DELETE FROM auth_revocations
     WHERE ctid = ANY (ARRAY (
            SELECT ctid
              FROM auth_revocations
             WHERE expires_at >= $1
               AND expires_at < $2
             ORDER BY expires_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED))
    RETURNING expires_at
)
SELECT count(*)::integer AS rows, max(expires_at) AS upto
  FROM gone;
