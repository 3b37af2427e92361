-- The audit trail, in monthly partitions: retention drops a partition and never deletes rows.

CREATE TABLE auth_eventos (
    event_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    tenant_id   uuid,
    actor_kind  text NOT NULL CHECK (actor_kind IN ('nobody', 'user', 'client', 'api_key', 'operator')),
    actor_id    text,
    user_id     uuid,
    session_id  uuid,
    event_type  text NOT NULL,
    ip          inet,
    user_agent  text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 512),
    detail      jsonb NOT NULL DEFAULT '{}',
    request_id  text NOT NULL,
    PRIMARY KEY (occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX auth_eventos_tenant ON auth_eventos (tenant_id, event_id);
CREATE INDEX auth_eventos_user ON auth_eventos (user_id, event_id);

-- An event is never lost for want of a partition.
CREATE TABLE auth_eventos_default PARTITION OF auth_eventos DEFAULT;

-- Makes the partitions of the months from `first` on, those that are not there yet.
-- Runs as its owner, so that the service's role needs no right to create tables.
CREATE FUNCTION auth_eventos_partitions(first timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month date;
    name  text;
    made  integer := 0;
BEGIN
    FOR ahead IN 0 .. months - 1 LOOP
        month := date_trunc('month', first AT TIME ZONE 'UTC')::date + make_interval(months => ahead);
        name := 'auth_eventos_' || to_char(month, 'YYYY_MM');
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_eventos_default
             WHERE occurred_at >= (month::timestamp AT TIME ZONE 'UTC')
               AND occurred_at < ((month + interval '1 month')::timestamp AT TIME ZONE 'UTC')
        ) THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF auth_eventos FOR VALUES FROM (%L) TO (%L)', name,
                month::timestamp AT TIME ZONE 'UTC',
                (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
SELECT auth_eventos_partitions(now(), 3);
