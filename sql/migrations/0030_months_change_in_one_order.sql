-- Whoever takes both tables of the trail takes the events first, then the seals: two who do it in
-- different orders would wait for one another.  Nobody waits longer than two seconds, as every event
-- waits behind them.

CREATE OR REPLACE FUNCTION auth_eventos_drop(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
DECLARE
    part    record;
    dropped integer := 0;
BEGIN
    IF before > now() - interval '80 days' THEN
        RAISE EXCEPTION 'the last 80 days of the audit trail are not dropped';
    END IF;
    LOCK TABLE ONLY auth_eventos, ONLY auth_event_seals IN ACCESS EXCLUSIVE MODE;
    FOR part IN
        SELECT c.relname, i.inhparent = 'auth_eventos'::regclass AS events
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN ('auth_eventos'::regclass, 'auth_event_seals'::regclass)
           AND c.relname ~ '_\d{4}_\d{2}$'
           AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= before
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + part.events::integer;
    END LOOP;
    RETURN dropped;
END $$;

ALTER FUNCTION auth_eventos_partitions(timestamptz, integer) SET lock_timeout = '2s';

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION auth_eventos_drop SET search_path = %I, pg_temp', current_schema());
END $$;
