-- The audit trail.  Writes auth_eventos; nothing updates or deletes a row of it.

-- name: insert(event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type, ip, user_agent, detail, request_id)
INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id,
                          event_type, ip, user_agent, detail, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::inet, $10, $11::text::jsonb, $12);

-- name: insert_many(event_ids, occurred_at, tenant_ids, actor_kind, actor_id, user_ids, session_ids, event_types, ip, user_agent, details, request_id)
-- The events of one call in one round trip.
INSERT INTO auth_eventos (event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id,
                          event_type, ip, user_agent, detail, request_id)
SELECT e.event_id, $2, e.tenant_id, $4, $5, e.user_id, e.session_id,
       e.event_type, $9::text::inet, $10, e.detail::jsonb, $12
  FROM unnest($1::uuid[], $3::uuid[], $6::uuid[], $7::uuid[], $8::text[], $11::text[])
    AS e (event_id, tenant_id, user_id, session_id, event_type, detail);

-- name: make_partitions(first, months)
-- Runs once at a time: every worker calls it, and two would make the same table.  It makes none while
-- another transaction has locked the months.  Waiting for that here would block every event.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || ' auth_eventos_partitions')) AS mine
)
SELECT CASE WHEN mine THEN auth_eventos_partitions($1, $2) ELSE 0 END AS made
  FROM turn;

-- name: lock_months()
-- Call it before the first SELECT of a snapshot: a month that is dropped later is missing there too.
LOCK TABLE auth_eventos, auth_event_seals IN ACCESS SHARE MODE;

-- name: keep_months()
-- A shared lock, for transactions that read every month for long: no month is dropped or made until they
-- have ended.  It fails instead of waiting, since all events would wait behind that lock.
SELECT pg_try_advisory_xact_lock_shared(hashtext(current_schema() || ' auth_eventos_partitions')) AS held;

-- name: change_months()
SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || ' auth_eventos_partitions')) AS held;

-- Pages of events, the newest first.  There is one statement for each filter to search by, with an index
-- for it; the other filters are applied to what it finds.  `first` and `until` exclude other months; within
-- a month the ids do, since they begin with the time.  The lower end is a comparison of two columns: the
-- planner would take a range of event_id for a narrow one, and prefer its index to the filter's.

-- name: page(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND event_id > $2
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($7::text IS NULL OR event_type = $7)
   AND ($8::uuid IS NULL OR user_id = $8)
   AND ($9::uuid IS NULL OR session_id = $9)
   AND ($10::text::inet IS NULL OR ip = $10::text::inet)
   AND ($11::text IS NULL OR request_id = $11)
 ORDER BY event_id DESC
 LIMIT $6;

-- name: page_by_type(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND event_type = $7::text
   AND (chain_id, event_id) > ($1, $2)
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($8::uuid IS NULL OR user_id = $8)
   AND ($9::uuid IS NULL OR session_id = $9)
   AND ($10::text::inet IS NULL OR ip = $10::text::inet)
   AND ($11::text IS NULL OR request_id = $11)
 ORDER BY event_id DESC
 LIMIT $6;

-- name: page_by_user(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND user_id = $8::uuid
   AND (chain_id, event_id) > ($1, $2)
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($7::text IS NULL OR event_type = $7)
   AND ($9::uuid IS NULL OR session_id = $9)
   AND ($10::text::inet IS NULL OR ip = $10::text::inet)
   AND ($11::text IS NULL OR request_id = $11)
 ORDER BY event_id DESC
 LIMIT $6;

-- name: page_by_session(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND session_id = $9::uuid
   AND (chain_id, event_id) > ($1, $2)
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($7::text IS NULL OR event_type = $7)
   AND ($8::uuid IS NULL OR user_id = $8)
   AND ($10::text::inet IS NULL OR ip = $10::text::inet)
   AND ($11::text IS NULL OR request_id = $11)
 ORDER BY event_id DESC
 LIMIT $6;

-- name: page_by_address(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND ip = $10::text::inet
   AND (chain_id, event_id) > ($1, $2)
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($7::text IS NULL OR event_type = $7)
   AND ($8::uuid IS NULL OR user_id = $8)
   AND ($9::uuid IS NULL OR session_id = $9)
   AND ($11::text IS NULL OR request_id = $11)
 ORDER BY event_id DESC
 LIMIT $6;

-- name: page_by_request(chain_id, after, before, first, until, most, event_type, user_id, session_id, address, request_id)
SELECT event_id, occurred_at, tenant_id, actor_kind, actor_id, user_id, session_id, event_type,
       host(ip) AS ip, user_agent, detail::text AS detail, request_id
  FROM auth_eventos
 WHERE chain_id = $1
   AND request_id = $11::text
   AND (chain_id, event_id) > ($1, $2)
   AND event_id < $3
   AND (occurred_at, event_id) >= ($4, $2)
   AND occurred_at < $5
   AND ($7::text IS NULL OR event_type = $7)
   AND ($8::uuid IS NULL OR user_id = $8)
   AND ($9::uuid IS NULL OR session_id = $9)
   AND ($10::text::inet IS NULL OR ip = $10::text::inet)
 ORDER BY event_id DESC
 LIMIT $6;

-- How many events match one filter, counted up to a thousand and in its index only.  A common value is not
-- used to search a page.  If half of the events came from one address, they would be read one by one to
-- apply the other filters.

-- name: count_by_request(chain_id, after, before, value)
SELECT count(*) AS events
  FROM (SELECT
          FROM auth_eventos
         WHERE chain_id = $1
           AND request_id = $4::text
           AND (chain_id, event_id) > ($1, $2)
           AND event_id < $3
         LIMIT 1000) AS found;

-- name: count_by_session(chain_id, after, before, value)
SELECT count(*) AS events
  FROM (SELECT
          FROM auth_eventos
         WHERE chain_id = $1
           AND session_id = $4::uuid
           AND (chain_id, event_id) > ($1, $2)
           AND event_id < $3
         LIMIT 1000) AS found;

-- name: count_by_user(chain_id, after, before, value)
SELECT count(*) AS events
  FROM (SELECT
          FROM auth_eventos
         WHERE chain_id = $1
           AND user_id = $4::uuid
           AND (chain_id, event_id) > ($1, $2)
           AND event_id < $3
         LIMIT 1000) AS found;

-- name: count_by_address(chain_id, after, before, value)
SELECT count(*) AS events
  FROM (SELECT
          FROM auth_eventos
         WHERE chain_id = $1
           AND ip = $4::text::inet
           AND (chain_id, event_id) > ($1, $2)
           AND event_id < $3
         LIMIT 1000) AS found;

-- name: count_by_type(chain_id, after, before, value)
SELECT count(*) AS events
  FROM (SELECT
          FROM auth_eventos
         WHERE chain_id = $1
           AND event_type = $4::text
           AND (chain_id, event_id) > ($1, $2)
           AND event_id < $3
         LIMIT 1000) AS found;

-- name: export_page(chain_id, after, before, first, until, event_type, most)
-- The oldest first, as lines of JSON.  Events that do not match the filter come without a line, so that
-- every page reads the same number of rows.
SELECT event_id, occurred_at,
       CASE WHEN $6::text IS NULL OR event_type = $6 THEN json_build_object(
           'id', event_id, 'occurred_at', occurred_at, 'type', event_type, 'tenant_id', tenant_id,
           'actor', json_build_object('kind', actor_kind, 'id', actor_id), 'user_id', user_id,
           'session_id', session_id, 'address', host(ip), 'user_agent', user_agent,
           'request_id', request_id, 'detail', detail)::text END AS line
  FROM (
    SELECT *
      FROM auth_eventos
     WHERE chain_id = $1
       AND event_id > $2
       AND event_id < $3
       AND (occurred_at, event_id) >= ($4, $2)
       AND occurred_at < $5
     ORDER BY event_id
     LIMIT $7
  ) AS page
 ORDER BY event_id;

-- name: export_member_page(chain_id, after, before, first, until, user_id, most)
-- Events about a person, and their acts on others, as for an erasure; the oldest first, as lines of JSON.
-- The address and agent of another actor are that person's data and are left out.
SELECT event_id, occurred_at,
       json_build_object(
           'kind', 'event', 'id', event_id, 'occurred_at', occurred_at, 'type', event_type,
           'actor', json_build_object('kind', actor_kind, 'id', actor_id), 'user_id', user_id,
           'session_id', session_id, 'address', CASE WHEN theirs THEN host(ip) END,
           'user_agent', CASE WHEN theirs THEN user_agent END,
           'request_id', request_id, 'detail', detail)::text AS line
  FROM (
    SELECT *, actor_kind <> 'user' OR actor_id = $6::uuid::text AS theirs
      FROM (
        (SELECT *
           FROM auth_eventos
          WHERE chain_id = $1
            AND user_id = $6::uuid
            AND (chain_id, event_id) > ($1, $2)
            AND event_id < $3
            AND (occurred_at, event_id) >= ($4, $2)
            AND occurred_at < $5
          ORDER BY event_id
          LIMIT $7)
        UNION ALL
        (SELECT *
           FROM auth_eventos
          WHERE chain_id = $1
            AND actor_kind = 'user'
            AND actor_id = $6::uuid::text
            AND actor_id IS DISTINCT FROM user_id::text
            AND (chain_id, event_id) > ($1, $2)
            AND event_id < $3
            AND (occurred_at, event_id) >= ($4, $2)
            AND occurred_at < $5
          ORDER BY event_id
          LIMIT $7)
      ) AS found
     ORDER BY event_id
     LIMIT $7
  ) AS page
 ORDER BY event_id;

-- name: find_oldest(chain_id)
SELECT min(occurred_at) AS at
  FROM (
    SELECT occurred_at
      FROM auth_eventos
     WHERE chain_id = $1
     ORDER BY event_id
     LIMIT 1
  ) AS oldest;

-- name: list_months(before)
-- The months that have ended by then, and the newest transaction that wrote to each.
SELECT c.relname AS name
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'auth_eventos'::regclass
   AND c.relname ~ '_\d{4}_\d{2}$'
   AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= $1
 ORDER BY c.relname;

-- name: has_unsealed(before, recorded_xid)
-- Is there an event from before then without a seal?  In a restored database, old events are beyond the
-- stored progress for years, sealed or not.
SELECT EXISTS (
    SELECT FROM auth_eventos e
     WHERE e.occurred_at < $1
       AND e.recorded_xid >= $2::bigint::text::xid8
       AND NOT EXISTS (SELECT FROM auth_event_seals s WHERE s.event_id = e.event_id OFFSET 0)
) AS found;

-- name: drop_months(before)
SELECT auth_eventos_drop($1) AS dropped;

-- name: erase(user_id, personal_keys)
-- By a function that runs as the schema's owner: nothing else changes an event.
SELECT chain_id FROM auth_eventos_erase($1, $2) AS chain_id;
