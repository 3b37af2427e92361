-- Addresses were folded by NFKC, which makes another domain of some.  Accounts of before are still found
-- by what folding makes of the address that is typed; new ones by their own address alone.
ALTER TABLE auth_users ADD COLUMN folded_before boolean NOT NULL DEFAULT true;
ALTER TABLE auth_users ALTER COLUMN folded_before SET DEFAULT false;

-- Of the open invitations of one address in an organization the newest counts.
CREATE INDEX auth_invitations_open ON auth_invitations (tenant_id, email) WHERE used_at IS NULL;
