-- Seals over the audit trail, and signed checkpoints of them.
-- Writes auth_event_seals, auth_event_chains, auth_event_checkpoints, auth_sealing.

-- name: find_progress()
-- How far the sealer is, and how far it may go: below the horizon every transaction has ended.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing;

-- name: try_lock_progress()
-- One sealer at a time; the others find no row and go away.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing
   FOR UPDATE SKIP LOCKED;

-- name: lock_progress()
-- Nothing is sealed meanwhile.
SELECT recorded_xid::text::bigint AS recorded_xid, event_id,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
  FROM auth_sealing
   FOR UPDATE;

-- name: list_unsealed(recorded_xid, event_id, horizon, most)
-- In the order of transactions, none of which can still commit.  Never one that has a seal.  OFFSET
-- keeps that a look for each event: a plan that knows no value takes them for a ninth of the trail, and
-- would read all the seals there are to join them.
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
-- A restored database counts transactions anew: what it brought along is at or past our mark, what
-- happened since is below the horizon, and all of that has ended.
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
-- Chains that grew since their last checkpoint, and that it was long ago for or much.
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
-- Through a function of the schema's owner: the service drops none on its own.
SELECT auth_checkpoints_drop($1) AS dropped;

-- name: find_beginning(chain_id, before)
-- The place before the first seal that stays when those of earlier months go.  Not the last one that
-- goes: a seal from the middle, dated back, would take all before it out of what is checked.
SELECT position - 1 AS position, previous AS hash
  FROM auth_event_seals
 WHERE chain_id = $1
   AND sealed_at >= $2
 ORDER BY position
 LIMIT 1;

-- name: list_links(chain_id, after, upto, most)
-- Seals in their order, each beside its event as it is now.
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
-- Of the next events of a chain those that should have a seal and have none: what the sealer has
-- passed, what a transaction wrote that has not begun yet, and what bears the id of a sealed event,
-- which no sealer will ever take.  A seal that nobody checks, of another chain or beyond this one's
-- ends, is none.  And the last one, to go on behind it; a copy shares the id of what it copies, so
-- that the place is told by both columns.
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
-- Events that the sealer has not come to, by chain: how many, since when.  What a restored database
-- brought along is past its mark, as is what a transaction wrote that has not begun.
SELECT e.chain_id, count(*)::integer AS events, min(e.occurred_at) AS since,
       coalesce(array_agg(e.user_id) FILTER (
           WHERE e.event_type = 'trail.erased' AND e.user_id IS NOT NULL), '{}') AS erased
  FROM auth_eventos e
 WHERE (e.recorded_xid, e.event_id) > ($1::bigint::text::xid8, $2)
   AND e.recorded_xid < pg_snapshot_xmax(pg_current_snapshot())
   AND NOT EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id OFFSET 0)
 GROUP BY e.chain_id;

-- name: list_recorded()
-- Every chain that has events, by hopping over the index: the platform's own list.
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
-- Chains that were ever signed, the platform's own list.
SELECT DISTINCT chain_id
  FROM auth_event_checkpoints;

-- name: find_public_jwk(kid)
-- Its id is its thumbprint: where it was found does not matter.
SELECT public_jwk::text AS public_jwk
  FROM auth_signing_keys
 WHERE kid = $1
 UNION ALL
SELECT public_jwk::text
  FROM auth_event_checkpoints
 WHERE kid = $1
 LIMIT 1;
