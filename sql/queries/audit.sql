-- The audit trail.  Writes auth_eventos; nothing updates or deletes a row of it.

-- name: insert(event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type, ip, user_agent, detail, request_id)
INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id,
                          event_type, ip, user_agent, detail, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::inet, $10, $11::text::jsonb, $12);

-- name: make_partitions(first, months)
-- One at a time: every worker tends to them, and two would collide over a table's name.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtext('auth_eventos_partitions'))
)
SELECT auth_eventos_partitions($1, $2) AS made
  FROM turn;
