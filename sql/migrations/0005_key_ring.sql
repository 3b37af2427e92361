-- The root secret (every HMAC key is derived from it) and the signing keys, both sealed.

CREATE TABLE auth_root (
    single     boolean PRIMARY KEY DEFAULT true CHECK (single),
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- The state of a key is a matter of time alone, so that all workers change together.
CREATE TABLE auth_signing_keys (
    kid          text PRIMARY KEY,
    algorithm    text NOT NULL CHECK (algorithm IN ('ES256', 'RS256', 'EdDSA')),
    public_jwk   jsonb NOT NULL,
    sealed       bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    activates_at timestamptz NOT NULL,
    retires_at   timestamptz,
    removes_at   timestamptz,
    CHECK (retires_at IS NULL OR retires_at >= activates_at),
    CHECK ((retires_at IS NULL) = (removes_at IS NULL)),
    CHECK (removes_at >= retires_at)
);
