-- API keys: what machines present.  The secret is not here, only its HMAC under a derived key.

CREATE TABLE auth_api_keys (
    key_id       uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES auth_organizations ON DELETE CASCADE,
    -- Null: the organization's own.
    owner_id     uuid REFERENCES auth_users ON DELETE CASCADE,
    public_id    text NOT NULL UNIQUE CHECK (public_id ~ '^[0-9A-Za-z]{12}$'),
    secret_mac   bytea NOT NULL CHECK (octet_length(secret_mac) = 32),
    name         text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    scopes       text[] NOT NULL CHECK (cardinality(scopes) > 0 AND '*' <> ALL (scopes)),
    -- From where it may be presented; empty: from anywhere.
    networks     cidr[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,
    -- A rotation moves it to the end of the overlap.
    expires_at   timestamptz,
    revoked_at   timestamptz,
    -- When the revocation feed was told that it ended, by revocation or by expiry.
    ended_at     timestamptz,
    -- The key that replaces it.
    successor_id uuid,
    last_used_at timestamptz,
    use_count    bigint NOT NULL DEFAULT 0,
    CHECK (expires_at >= created_at),
    CHECK (revoked_at IS NULL OR ended_at IS NOT NULL)
) WITH (fillfactor = 85); -- uses are counted in place, without touching an index
CREATE INDEX auth_api_keys_tenant ON auth_api_keys (tenant_id, key_id);
CREATE INDEX auth_api_keys_owner ON auth_api_keys (owner_id);
CREATE INDEX auth_api_keys_ending ON auth_api_keys (expires_at) WHERE ended_at IS NULL;
