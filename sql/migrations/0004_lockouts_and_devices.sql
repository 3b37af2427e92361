-- Strikes against an account, and the devices that have signed in to it before.

-- `subject_id` is a user, or a keyed digest of an e-mail nobody has: an address that does not exist
-- is counted and locked exactly like one that does.  Hence no foreign key.
CREATE TABLE auth_lockouts (
    subject_id   uuid NOT NULL,
    -- All zeros: every unknown device together.
    device_id    uuid NOT NULL,
    attempts     timestamptz[] NOT NULL DEFAULT '{}' CHECK (cardinality(attempts) <= 100),
    locked_until timestamptz,
    touched_at   timestamptz NOT NULL,
    PRIMARY KEY (subject_id, device_id)
) WITH (fillfactor = 70);
CREATE INDEX auth_lockouts_touched ON auth_lockouts (touched_at);

CREATE TABLE auth_devices (
    device_id  uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES auth_users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX auth_devices_user ON auth_devices (user_id, used_at);
