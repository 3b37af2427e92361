-- Seals over the audit trail, indexes to read it by, and retention that drops whole months.

-- The chain an event belongs to: its organization's, or, for what concerns none, the platform's.
-- `recorded_xid` is the transaction that wrote it: below the snapshot's xmin every transaction has
-- ended, so whoever reads up to there has missed nothing that commits later.
ALTER TABLE auth_eventos
    ADD COLUMN chain_id uuid NOT NULL
        GENERATED ALWAYS AS (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000')) STORED,
    ADD COLUMN recorded_xid xid8 NOT NULL DEFAULT pg_current_xact_id();

-- Pages are keyset-read by event_id (UUIDv7) inside a chain; one index per leading filter.
DROP INDEX auth_eventos_tenant;
DROP INDEX auth_eventos_user;
CREATE INDEX auth_eventos_chain ON auth_eventos (chain_id, event_id);
CREATE INDEX auth_eventos_type ON auth_eventos (chain_id, event_type, event_id);
CREATE INDEX auth_eventos_user ON auth_eventos (user_id, chain_id, event_id) WHERE user_id IS NOT NULL;
CREATE INDEX auth_eventos_session ON auth_eventos (session_id, chain_id, event_id) WHERE session_id IS NOT NULL;
CREATE INDEX auth_eventos_address ON auth_eventos (ip, chain_id, event_id) WHERE ip IS NOT NULL;
CREATE INDEX auth_eventos_request ON auth_eventos (request_id, chain_id, event_id);
CREATE INDEX auth_eventos_actor ON auth_eventos (actor_id)
 WHERE actor_kind = 'user' AND actor_id IS DISTINCT FROM user_id::text;
CREATE INDEX auth_eventos_recorded ON auth_eventos (recorded_xid, event_id);

-- One seal per event: hash = SHA-256(previous, leaf).  By month of sealing, which is never before
-- the month of the event: a month of seals may go when that month of events goes.
CREATE TABLE auth_event_seals (
    chain_id    uuid NOT NULL,
    position    bigint NOT NULL CHECK (position >= 1),
    event_id    uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    sealed_at   timestamptz NOT NULL CHECK (sealed_at >= occurred_at),
    form        smallint NOT NULL,
    -- Null once the personal fields are erased: their digest stays and can no longer be guessed.
    salt        bytea CHECK (octet_length(salt) = 16),
    personal    bytea NOT NULL CHECK (octet_length(personal) = 32),
    leaf        bytea NOT NULL CHECK (octet_length(leaf) = 32),
    previous    bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (chain_id, position, sealed_at)
) PARTITION BY RANGE (sealed_at);
CREATE INDEX auth_event_seals_event ON auth_event_seals (event_id);
CREATE TABLE auth_event_seals_default PARTITION OF auth_event_seals DEFAULT;

CREATE TABLE auth_event_chains (
    chain_id            uuid PRIMARY KEY,
    position            bigint NOT NULL CHECK (position >= 0),
    hash                bytea NOT NULL CHECK (octet_length(hash) = 32),
    checkpoint_position bigint NOT NULL DEFAULT 0,
    checkpoint_at       timestamptz
) WITH (fillfactor = 70);
CREATE INDEX auth_event_chains_due ON auth_event_chains (chain_id) WHERE position > checkpoint_position;

-- How far the sealer is.  Who seals, or drops what is sealed, holds this row.
CREATE TABLE auth_sealing (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    recorded_xid xid8 NOT NULL,
    event_id     uuid NOT NULL
);
INSERT INTO auth_sealing (recorded_xid, event_id) VALUES ('0', '00000000-0000-0000-0000-000000000000');

-- What was signed, with the key to verify it by: it outlives the key ring's own.  `mac` is over the
-- token, under a key derived from the root secret: a key that somebody put here proves nothing.
CREATE TABLE auth_event_checkpoints (
    checkpoint_id uuid PRIMARY KEY,
    chain_id      uuid NOT NULL,
    position      bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('head', 'retention')),
    signed_at     timestamptz NOT NULL,
    kid           text NOT NULL,
    public_jwk    jsonb NOT NULL,
    token         text NOT NULL,
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32)
);
CREATE INDEX auth_event_checkpoints_chain ON auth_event_checkpoints (chain_id, checkpoint_id);

-- As before, and the same months for the seals.
CREATE OR REPLACE FUNCTION auth_eventos_partitions(first timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month timestamptz;
    until timestamptz;
    name  text;
    made  integer := 0;
BEGIN
    FOR ahead IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first AT TIME ZONE 'UTC') + make_interval(months => ahead))
                 AT TIME ZONE 'UTC';
        until := (date_trunc('month', first AT TIME ZONE 'UTC') + make_interval(months => ahead + 1))
                 AT TIME ZONE 'UTC';
        name := to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass('auth_eventos_' || name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_eventos_default WHERE occurred_at >= month AND occurred_at < until
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF auth_eventos FOR VALUES FROM (%L) TO (%L)',
                           'auth_eventos_' || name, month, until);
            made := made + 1;
        END IF;
        IF to_regclass('auth_event_seals_' || name) IS NULL AND NOT EXISTS (
            SELECT FROM auth_event_seals_default WHERE sealed_at >= month AND sealed_at < until
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF auth_event_seals FOR VALUES FROM (%L) TO (%L)',
                           'auth_event_seals_' || name, month, until);
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Drops the months that end at or before `before`, events and seals; returns how many months.
-- Whoever holds the service's password must not be able to drop the recent past: 80 days stay.
CREATE FUNCTION auth_eventos_drop(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    part    record;
    dropped integer := 0;
BEGIN
    IF before > now() - interval '80 days' THEN
        RAISE EXCEPTION 'the last 80 days of the audit trail are not dropped';
    END IF;
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

-- Forgets where and with what a person's acts were done, and the salts of those digests.  The one
-- change an event can undergo; the chain stays valid.  Whoever calls it holds auth_sealing, so that
-- no seal is made of what is being erased.  Returns the chains it happened in.
CREATE FUNCTION auth_eventos_erase(person uuid, personal_keys text[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY
    WITH erased AS (
        UPDATE auth_eventos
           SET ip = NULL, user_agent = '', detail = detail - personal_keys
         WHERE (user_id = person
                OR (actor_kind = 'user' AND actor_id = person::text
                    AND actor_id IS DISTINCT FROM user_id::text))
           AND (ip IS NOT NULL OR user_agent <> '' OR detail ?| personal_keys)
        RETURNING auth_eventos.event_id AS erased_id, auth_eventos.chain_id AS erased_chain
    ), unsalted AS (
        UPDATE auth_event_seals
           SET salt = NULL
          FROM erased
         WHERE auth_event_seals.event_id = erased_id
    )
    SELECT DISTINCT erased_chain FROM erased;
END $$;

SELECT auth_eventos_partitions(now(), 3);
