-- Seals over the audit trail, and signed checkpoints of them.
-- Writes auth_event_seals, auth_event_chains, auth_event_checkpoints, auth_sealing.

-- name: find_progress()
-- How far the sealer is, and how far it may go: all transactions below the horizon have ended.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing;

-- name: try_lock_progress()
-- One sealer at a time; the others get no row.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing
   FOR UPDATE SKIP LOCKED;

-- name: lock_progress()
-- While this lock is held, nothing is sealed.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing
   FOR UPDATE;

-- name: list_unsealed(recorded_xid, event_id, horizon, most)
-- Events without a seal, in the order of their transactions, which have all ended.  OFFSET makes PostgreSQL
-- search the seal of each event by itself.  Without known values, the planner would expect a ninth of the
-- trail here, and would read all seals for a join.
SELECT e.event_id, e.occurred_at, e.tenant_id, e.actor_kind, e.actor_id, e.user_id, e.session_id,
       e.event_type, e.ip::text AS ip, e.user_agent, e.detail::text AS detail, e.request_id,
       e.chain_id, e.recorded_xid::text::bigint AS recorded_xid
  FROM auth_eventos e
 WHERE (e.recorded_xid, e.event_id) > ($1::bigint::text::xid8, $2)
   AND e.recorded_xid < $3::bigint::text::xid8
   AND NOT EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id OFFSET 0)
 ORDER BY e.recorded_xid, e.event_id
 LIMIT $4;

-- name: list_unsealed_after_restore(recorded_xid, horizon, most)
-- A restored database counts its transactions anew.  Its old events are at or beyond the stored progress;
-- newer events are below the horizon, and their transactions have ended.
SELECT e.event_id, e.occurred_at, e.tenant_id, e.actor_kind, e.actor_id, e.user_id, e.session_id,
       e.event_type, e.ip::text AS ip, e.user_agent, e.detail::text AS detail, e.request_id,
       e.chain_id, e.recorded_xid::text::bigint AS recorded_xid
  FROM auth_eventos e
 WHERE (e.recorded_xid >= $1::bigint::text::xid8 OR e.recorded_xid < $2::bigint::text::xid8)
   AND NOT EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id)
 ORDER BY e.event_id
 LIMIT $3;

-- name: move_progress(recorded_xid, event_id)
UPDATE auth_sealing
   SET recorded_xid = $1::bigint::text::xid8, event_id = $2;

-- name: list_chains(chain_ids)
SELECT chain_id, position, hash, checkpoint_position, checkpoint_at
  FROM auth_event_chains
 WHERE chain_id = ANY ($1::uuid[])
 ORDER BY chain_id;

-- name: list_every_chain()
SELECT chain_id, position, hash, checkpoint_position, checkpoint_at
  FROM auth_event_chains
 ORDER BY chain_id;

-- name: put_chains(chain_ids, positions, hashes)
INSERT INTO auth_event_chains (chain_id, position, hash)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])
    ON CONFLICT (chain_id) DO UPDATE SET position = excluded.position, hash = excluded.hash;

-- name: insert_seals(sealed_at, form, chain_ids, positions, event_ids, occurred, salts, personals, leaves, previous, hashes)
INSERT INTO auth_event_seals (sealed_at, form, chain_id, position, event_id, occurred_at, salt,
                              personal, leaf, previous, hash)
SELECT greatest($1::timestamptz, occurred_at), $2, chain_id, position, event_id, occurred_at, salt,
       personal, leaf, previous, hash
  FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::timestamptz[], $7::bytea[], $8::bytea[],
              $9::bytea[], $10::bytea[], $11::bytea[])
    AS s (chain_id, position, event_id, occurred_at, salt, personal, leaf, previous, hash);

-- name: list_due(before, behind)
-- Chains that have grown since their last checkpoint, if that is old or they have grown much.
SELECT chain_id, position, hash, checkpoint_position, checkpoint_at
  FROM auth_event_chains
 WHERE position > checkpoint_position
   AND (checkpoint_at IS NULL OR checkpoint_at <= $1 OR position - checkpoint_position >= $2)
 ORDER BY checkpoint_at NULLS FIRST, chain_id
 LIMIT 200;

-- name: insert_checkpoint(checkpoint_id, chain_id, position, kind, signed_at, kid, public_jwk, token, mac)
INSERT INTO auth_event_checkpoints (checkpoint_id, chain_id, position, kind, signed_at, kid,
                                    public_jwk, token, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9);

-- name: note_checkpoint(chain_id, position, signed_at)
UPDATE auth_event_chains
   SET checkpoint_position = greatest(checkpoint_position, $2), checkpoint_at = $3
 WHERE chain_id = $1;

-- name: list_checkpoints(chain_id, before, most)
-- The newest first.
SELECT checkpoint_id, chain_id, position, kind, signed_at, kid, public_jwk::text AS public_jwk,
       token, mac
  FROM auth_event_checkpoints
 WHERE chain_id = $1
   AND checkpoint_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
 ORDER BY checkpoint_id DESC
 LIMIT $3;

-- name: drop_checkpoints(before)
-- By a function that runs as the schema's owner: the service's role cannot drop any.
SELECT auth_checkpoints_drop($1) AS dropped;

-- name: find_beginning(chain_id, before)
-- The place before the first seal that stays when earlier months are dropped.  It is not taken from the
-- last seal that is dropped: a backdated seal from the middle would exclude all before it from checks.
SELECT position - 1 AS position, previous AS hash
  FROM auth_event_seals
 WHERE chain_id = $1
   AND sealed_at >= $2
 ORDER BY position
 LIMIT 1;

-- name: list_links(chain_id, after, upto, most)
-- Seals in their order, each with its event as it is now.
SELECT s.position, s.event_id, s.occurred_at, s.form, s.salt, s.personal, s.leaf, s.previous, s.hash,
       EXISTS (
            SELECT FROM auth_event_seals d
             WHERE d.event_id = s.event_id
               AND (d.chain_id, d.position) <> (s.chain_id, s.position)
       ) AS doubled,
       e.event_id IS NOT NULL AS there, e.tenant_id, e.actor_kind, e.actor_id, e.user_id,
       e.session_id, e.event_type, e.ip::text AS ip, e.user_agent, e.detail::text AS detail,
       e.request_id
  FROM auth_event_seals s
  LEFT JOIN auth_eventos e ON e.occurred_at = s.occurred_at AND e.event_id = s.event_id
 WHERE s.chain_id = $1
   AND s.position > $2
   AND s.position <= $3
 ORDER BY s.position
 LIMIT $4;

-- name: list_strays(chain_id, beginning, recorded_xid, event_id, after, after_at, most)
-- Among the next events of a chain, those that should have a seal and have none: events that the sealer has
-- passed, events of a transaction number that does not exist yet, and events with the id of a sealed event,
-- which no sealer will take.  A seal of another chain, or beyond the checked part of this one, does not
-- count.  The last event is returned too, as the place to go on from.  A copied event has the same id, so
-- the place has two columns.
WITH stretch AS (
    SELECT e.event_id, e.occurred_at, e.recorded_xid
      FROM auth_eventos e
     WHERE e.chain_id = $1
       AND e.event_id >= $5
       AND (e.event_id, e.occurred_at) > ($5, $6)
     ORDER BY e.event_id, e.occurred_at
     LIMIT $7
), judged AS (
    SELECT event_id, occurred_at,
           ((recorded_xid, event_id) <= ($3::bigint::text::xid8, $4)
            OR recorded_xid >= pg_snapshot_xmax(pg_current_snapshot())
            OR EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = stretch.event_id))
           AND NOT EXISTS (
                SELECT FROM auth_event_seals s
                  JOIN auth_event_chains c USING (chain_id)
                 WHERE s.event_id = stretch.event_id
                   AND s.occurred_at = stretch.occurred_at
                   AND s.chain_id = $1
                   AND s.position > $2
                   AND s.position <= c.position
           ) AS stray
      FROM stretch
)
SELECT event_id, occurred_at, stray
  FROM judged
 WHERE stray
    OR (event_id, occurred_at) = (
        SELECT event_id, occurred_at FROM stretch ORDER BY event_id DESC, occurred_at DESC LIMIT 1)
 ORDER BY event_id, occurred_at;

-- name: list_waiting(recorded_xid, event_id)
-- Events that the sealer has not reached, by chain: how many, and since when.  That includes old events of
-- a restored database, and events of a transaction number that does not exist yet.
SELECT e.chain_id, count(*)::integer AS events, min(e.occurred_at) AS since,
       coalesce(array_agg(e.user_id) FILTER (
           WHERE e.event_type = 'trail.erased' AND e.user_id IS NOT NULL), '{}') AS erased
  FROM auth_eventos e
 WHERE (e.recorded_xid, e.event_id) > ($1::bigint::text::xid8, $2)
   AND e.recorded_xid < pg_snapshot_xmax(pg_current_snapshot())
   AND NOT EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id OFFSET 0)
 GROUP BY e.chain_id;

-- name: list_recorded()
-- All chains that have events, found by skipping through the index.
WITH RECURSIVE hop AS (
    (SELECT chain_id FROM auth_eventos ORDER BY chain_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.chain_id FROM auth_eventos e WHERE e.chain_id > hop.chain_id
             ORDER BY e.chain_id LIMIT 1)
      FROM hop
     WHERE hop.chain_id IS NOT NULL
)
SELECT chain_id
  FROM hop
 WHERE chain_id IS NOT NULL;

-- name: list_signed()
-- All chains that have a checkpoint.
SELECT DISTINCT chain_id
  FROM auth_event_checkpoints;

-- name: find_public_jwk(kid)
-- The id of a key is its thumbprint, so it does not matter where the key was found.
SELECT public_jwk::text AS public_jwk
  FROM auth_signing_keys
 WHERE kid = $1
 UNION ALL
SELECT public_jwk::text
  FROM auth_event_checkpoints
 WHERE kid = $1
 LIMIT 1;
