-- Organizations, the people in them, and what role each has where.

CREATE TABLE auth_organizations (
    tenant_id   uuid PRIMARY KEY,
    slug        text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    policy      jsonb,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE auth_users (
    user_id             uuid PRIMARY KEY,
    email               text NOT NULL UNIQUE CHECK (char_length(email) BETWEEN 3 AND 320),
    name                text NOT NULL DEFAULT '' CHECK (char_length(name) <= 200),
    password_hash       text CHECK (octet_length(password_hash) <= 512),
    password_changed_at timestamptz,
    -- The hash without salt and digest: which schemes and costs are on file, by index alone.
    password_scheme     text GENERATED ALWAYS AS (
        substring(password_hash FROM '^(\$argon2id\$v=\d+\$[^$]+|\$2[aby]\$\d\d)')
    ) STORED,
    platform_admin      boolean NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL,
    disabled_at         timestamptz
);
CREATE INDEX auth_users_scheme ON auth_users (password_scheme);

CREATE TABLE auth_memberships (
    tenant_id  uuid NOT NULL REFERENCES auth_organizations ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES auth_users ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'auditor')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, tenant_id)
);
CREATE INDEX auth_memberships_tenant ON auth_memberships (tenant_id, user_id);
