-- OAuth clients: services that ask for tokens of their own, introspect, and read the revocations.

CREATE TABLE auth_clients (
    client_id   text PRIMARY KEY CHECK (client_id ~ '^[A-Za-z0-9_-]{3,80}$'),
    -- Null: a service of the platform, which sees every organization.
    tenant_id   uuid REFERENCES auth_organizations ON DELETE CASCADE,
    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    scopes      text[] NOT NULL,
    -- HMAC-SHA-256 of the secret; null for a client that signs assertions with its own key.
    secret_mac  bytea CHECK (octet_length(secret_mac) = 32),
    jwks        jsonb,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    CHECK (secret_mac IS NOT NULL OR jwks IS NOT NULL)
);
CREATE INDEX auth_clients_tenant ON auth_clients (tenant_id, client_id);
