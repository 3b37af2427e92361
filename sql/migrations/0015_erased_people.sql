-- A person who was erased: the account stays as a number that events point to, and opens nothing.

ALTER TABLE auth_users
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT auth_users_erased CHECK (
        erased_at IS NULL
        OR (disabled_at IS NOT NULL AND password_hash IS NULL AND name = '' AND NOT platform_admin));
