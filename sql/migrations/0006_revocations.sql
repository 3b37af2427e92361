-- What is killed before it expires.  Kept until the last token it can concern has expired.

-- One counter row, locked until commit: the order of `seq` is the order of commits and has no hole.
CREATE TABLE auth_revocation_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq  bigint NOT NULL
);
INSERT INTO auth_revocation_head (seq) VALUES (0);

CREATE TABLE auth_revocations (
    seq        bigint PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('jti', 'sid', 'sub', 'tenant_id', 'client_id', 'kid', 'akid')),
    value      text NOT NULL CHECK (char_length(value) BETWEEN 1 AND 200),
    -- Kinds with a cutoff kill what was issued up to then.
    cutoff     timestamptz,
    tenant_id  uuid,
    reason     text NOT NULL,
    revoked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CHECK ((cutoff IS NOT NULL) = (kind IN ('sub', 'tenant_id', 'client_id')))
);
CREATE INDEX auth_revocations_what ON auth_revocations (kind, value);
CREATE INDEX auth_revocations_expiry ON auth_revocations (expires_at);
