-- A session is one sign-in on one device; its family is the chain of its refresh tokens.
-- One row per family for ever: a token is handle, generation and MAC, and nothing here yields one.

CREATE TABLE auth_sessions (
    session_id uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES auth_organizations ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES auth_users ON DELETE CASCADE,
    device_id  uuid,
    client_id  text NOT NULL,
    amr        text[] NOT NULL,
    auth_time  timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    ended_why  text,
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX auth_sessions_user ON auth_sessions (user_id, session_id) WHERE ended_at IS NULL;
CREATE INDEX auth_sessions_tenant ON auth_sessions (tenant_id) WHERE ended_at IS NULL;
CREATE INDEX auth_sessions_expiry ON auth_sessions (expires_at);

-- What rotation changes stands in no index, and the pages keep room: every rotation is a HOT update.
CREATE TABLE auth_families (
    handle_hash         bytea PRIMARY KEY CHECK (octet_length(handle_hash) = 32),
    session_id          uuid NOT NULL UNIQUE REFERENCES auth_sessions ON DELETE CASCADE,
    status              text NOT NULL DEFAULT 'live' CHECK (status IN ('live', 'ended', 'burned')),
    generation          integer NOT NULL DEFAULT 1 CHECK (generation >= 1),
    token_hash          bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    rotated_at          timestamptz NOT NULL,
    idle_ttl            interval NOT NULL,
    idle_expires_at     timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    -- Where it was last used; here and not in auth_sessions, so that a rotation is one update.
    last_ip             text,
    last_network        text,
    last_agent          text NOT NULL DEFAULT '',
    recorded            boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70);
