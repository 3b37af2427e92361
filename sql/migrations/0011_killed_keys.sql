-- A signing key that was killed is removed from that moment on, whatever its times say.

ALTER TABLE auth_signing_keys ADD COLUMN killed_at timestamptz;
