-- The vault: secrets of the platform and of organizations, sealed; and who may be handed one.

CREATE TABLE auth_secrets (
    secret_id  uuid PRIMARY KEY,
    -- Null: a secret of the platform.
    tenant_id  uuid REFERENCES auth_organizations ON DELETE CASCADE,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9._-]{1,64}$'),
    created_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);

CREATE TABLE auth_secret_versions (
    secret_id   uuid NOT NULL REFERENCES auth_secrets ON DELETE CASCADE,
    version     integer NOT NULL CHECK (version > 0),
    sealed      bytea NOT NULL,
    -- HMAC of the value: two that are the same show it, and nobody can try values against it.
    fingerprint text NOT NULL CHECK (char_length(fingerprint) = 22),
    kind        text NOT NULL,
    mode        text CHECK (mode IN ('live', 'test')),
    last_four   text NOT NULL CHECK (char_length(last_four) <= 4),
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    opened_at   timestamptz,
    opened_by   text,
    PRIMARY KEY (secret_id, version),
    CHECK ((opened_at IS NULL) = (opened_by IS NULL))
);

-- A service that may be handed secrets, under a key of its own.
CREATE TABLE auth_recipients (
    recipient_id uuid PRIMARY KEY,
    name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9._-]{1,64}$'),
    client_id    text NOT NULL UNIQUE REFERENCES auth_clients ON DELETE CASCADE,
    created_at   timestamptz NOT NULL
);

CREATE TABLE auth_secret_recipients (
    secret_id    uuid NOT NULL REFERENCES auth_secrets ON DELETE CASCADE,
    recipient_id uuid NOT NULL REFERENCES auth_recipients ON DELETE CASCADE,
    PRIMARY KEY (secret_id, recipient_id)
);
CREATE INDEX auth_secret_recipients_recipient ON auth_secret_recipients (recipient_id);
