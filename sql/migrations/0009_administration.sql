-- Invitations, and memberships that are suspended without being forgotten.

ALTER TABLE auth_memberships ADD COLUMN disabled_at timestamptz;

CREATE TABLE auth_invitations (
    invitation_id uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES auth_organizations ON DELETE CASCADE,
    email         text NOT NULL CHECK (char_length(email) BETWEEN 3 AND 320),
    role          text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'auditor')),
    -- SHA-256 of the link's token: 256 random bits need no slow hash.
    token_hash    bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    invited_by    uuid REFERENCES auth_users ON DELETE SET NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz
);
CREATE INDEX auth_invitations_tenant ON auth_invitations (tenant_id, invitation_id);
CREATE INDEX auth_invitations_invited_by ON auth_invitations (invited_by);
